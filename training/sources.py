"""Where images come from: digits, arrays, folders and TFDS, as splits in memory or on disk."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_vae import errors, images, plain_arrays
from tfp_vae.errors import ImageError
from training import encoded_images

# Name, configuration and version. TFDS would also take `owner:name` and fetch that owner's code.
TFDS_NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
IN_MEMORY_BYTES = 2**30  # of decoded pixels; above it, TFDS and folders stream from disk


@dataclasses.dataclass(frozen=True)
class Split:
    """Images of one size, uint8 or float32: in memory, or as a stream from disk."""

    count: int
    shape: tuple[int, int, int]  # H, W, C
    pixels: tf.Tensor | None = None  # [count, H, W, C]
    stream: Callable | None = None  # () -> tf.data.Dataset of [H, W, C], always in one order
    labels: Callable | None = None  # () -> integers [count] in that order, where there are any

    def dataset(self):
        """A `tf.data.Dataset` of single images, always in one order."""
        if self.pixels is None:
            return self.stream()
        return tf.data.Dataset.from_tensor_slices(self.pixels)

    def head(self, count):
        """The first `count` images, or all if there are fewer: [n, H, W, C]."""
        return next(iter(self.dataset().batch(count)))


def read(config):
    """The splits that the data set of a `Config` has itself, by name; "train" is among them.

    Raises:
      ImageError: no such data set, or images that cannot be used.
    """
    try:
        return _read(config, Path(config.dataset))
    except OSError as error:
        raise ImageError(f"cannot be read ({error})") from error


def _read(config, path):
    if config.dataset == "digits":
        pixels, labels = _digits()
        split = _in_memory(pixels, config.image_size, "digits")
        return {"train": dataclasses.replace(split, labels=lambda: labels)}
    if path.suffix in (".npz", ".npy"):
        arrays = plain_arrays.read_arrays(path)
        if "train" not in arrays:
            raise ImageError(f"arrays {', '.join(arrays) or 'none'}: expected one named train")
        names = [name for name in ("train", "validation", "test") if name in arrays]
        checked = {name: images.checked(arrays[name], name) for name in names}
        return {name: _in_memory(checked[name], config.image_size, name) for name in names}
    if path.is_dir():
        return {"train": _folder(path, config.image_size, config.seed)}
    if path.exists():
        raise ImageError("expected a folder, a .npz or a .npy")
    return _tfds(config.dataset, config.data_dir, config.image_size)


def _digits():
    from sklearn.datasets import load_digits  # its import takes a second

    digits = load_digits()
    grey = digits.images / 16.0  # 0..16 -> 0..1
    return np.rint(grey * 255).astype(np.uint8)[..., np.newaxis], digits.target


def _in_memory(pixels, side, name):
    if side is not None:
        resized = (side, side, pixels.shape[-1])
        if not _fits(len(pixels), resized):
            raise ImageError(f"{name}: over 1 GiB at {side}x{side}: expected less, or a folder")
        pixels = images.resize(tf.constant(pixels), side)
    _require_size(pixels.shape[1:], name)
    return Split(len(pixels), tuple(pixels.shape[1:]), pixels=tf.constant(pixels))


def _require_size(shape, name):
    if min(shape[:2]) < 8:
        raise ImageError(f"{name}: images of {shape[0]}x{shape[1]} pixels: expected at least 8x8")


def _fits(count, shape):
    return count * math.prod(shape) <= IN_MEMORY_BYTES


def _folder(folder, side, seed):
    files = images.find_files(folder)
    shapes = [images.file_shape(path) for path in files]
    sizes = {shape[:2] for shape in shapes}
    if side is None and len(sizes) > 1:
        raise ImageError(f"files of {len(sizes)} sizes: give --image-size")
    channels = max(shape[2] for shape in shapes)  # grey among colour files becomes colour
    shape = (side, side, channels) if side else (*sizes.pop(), channels)
    _require_size(shape, "files")
    # Folders come sorted by class, and a stream is shuffled only so far ahead.
    order = np.random.default_rng(seed).permutation(len(files))
    paths = [str(files[index]) for index in order]

    def decode(path):
        pixels = images.read_file(path if isinstance(path, str) else path.decode(), channels)
        return images.resize(tf.constant(pixels), side).numpy() if side else pixels

    if _fits(len(paths), shape):
        return Split(len(paths), shape, pixels=tf.constant(np.stack([decode(p) for p in paths])))

    def decode_tensor(path):
        return tf.ensure_shape(tf.numpy_function(decode, [path], tf.uint8), shape)

    def stream():
        return tf.data.Dataset.from_tensor_slices(paths).map(decode_tensor, num_parallel_calls=2)

    return Split(len(paths), shape, stream=stream)


def _tfds(name, data_dir, side):
    import tensorflow_datasets as tfds  # its import takes a second

    if not TFDS_NAME.fullmatch(name):
        raise ImageError("no such file or folder, and no name of a TFDS data set")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:  # unknown name, version or configuration
        why = errors.reason(error)
        raise ImageError(f"no such file or folder, and no TFDS data set ({why})") from error
    if not builder.is_prepared():
        where = f", data_dir={data_dir!r}" if data_dir else ""
        raise ImageError(
            f"TFDS has not prepared it in {builder.data_path.parent.parent}: "
            f"fetch it once, in Python: tensorflow_datasets.builder({name!r}{where})"
            ".download_and_prepare()"
        )
    features = dict(builder.info.features.items())
    feature = features.get("image")
    if not isinstance(feature, tfds.features.Image) or feature.np_dtype != np.uint8:
        raise ImageError(f"features {', '.join(features)}: expected image, of uint8")
    if side is None and None in feature.shape:
        raise ImageError("images of several sizes: give --image-size")
    shape = (side, side, feature.shape[-1]) if side else feature.shape
    _require_size(shape, name)
    names = [split for split in ("train", "validation", "test") if split in builder.info.splits]
    if "train" not in names:
        raise ImageError(f"splits {', '.join(builder.info.splits)}: expected one named train")
    splits = {split: _tfds_split(builder, split, shape, side) for split in names}
    if not isinstance(features.get("label"), tfds.features.ClassLabel):
        return splits
    return {
        split: dataclasses.replace(found, labels=functools.partial(_tfds_labels, builder, split))
        for split, found in splits.items()
    }


def _tfds_labels(builder, split):
    import tensorflow_datasets as tfds

    only_label = tfds.decode.PartialDecoding({"label": True})
    examples = builder.as_dataset(split=split, shuffle_files=False, decoders=only_label)
    return np.array([example["label"] for example in examples.as_numpy_iterator()])


def _tfds_split(builder, name, shape, side):
    import tensorflow_datasets as tfds

    feature = builder.info.features["image"]
    fixed = None not in feature.shape
    limit = math.prod(feature.shape[:2]) if fixed else images.MAX_FILE_PIXELS

    def pixels(example):
        image = feature.decode_example(encoded_images.require(example["image"], limit))
        return images.resize(image, side) if side else image

    def stream():
        skipped = {"image": tfds.decode.SkipDecoding()}
        only_image = tfds.decode.PartialDecoding({"image": True}, decoders=skipped)
        examples = builder.as_dataset(split=name, shuffle_files=False, decoders=only_image)
        return examples.map(pixels, num_parallel_calls=2)

    count = int(stream().cardinality())
    if not _fits(count, shape):
        return Split(count, shape, stream=stream)
    try:
        read = next(iter(stream().batch(count)))
    except (tf.errors.OpError, StopIteration) as error:
        raise ImageError(f"split {name} cannot be read ({errors.reason(error)})") from error
    return Split(count, shape, pixels=read)
