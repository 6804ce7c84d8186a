"""From the name of a data set to batches of images, each a function of (seed, step)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_vae.images import ImageError, checked, file_shape, find_files, read_arrays, read_file
from tfp_vae.images import resize as resize_images
from tfp_vae.images import to_float
from training.config import InputError

IN_MEMORY_BYTES = 2**30  # of decoded pixels; above it, TFDS and folders stream from disk
SHUFFLE_BYTES = 2**28  # what a stream holds at once to shuffle
HELD_OUT = 0.1  # share of the images for validation, and for test, where a set has no such split


@dataclasses.dataclass(frozen=True)
class Split:
    """Images of one kind and size, uint8 or float32: in memory, or as a stream from disk."""

    count: int
    shape: tuple[int, int, int]  # H, W, C
    images: tf.Tensor | None = None  # [count, H, W, C]
    stream: Callable | None = None  # () -> tf.data.Dataset of [H, W, C], always in one order

    def dataset(self):
        """A `tf.data.Dataset` of single images, always in one order."""
        return self.stream() if self.images is None else tf.data.Dataset.from_tensor_slices(self.images)

    def head(self, count):
        """The first `count` images (fewer if there are fewer), uint8 or float32 [n, H, W, C]."""
        return next(iter(self.dataset().batch(min(count, self.count)))).numpy()


@dataclasses.dataclass(frozen=True)
class Splits:
    train: Split
    validation: Split
    test: Split
    binarise: bool  # whether the likelihood takes zeros and ones only

    def training_batches(self, batch_size, seed, start=0):
        """Batches without end, from step `start` on: float32 [batch_size, H, W, C].

        A batch is a function of (seed, step), and each pass over the images has a new order. The
        last images of a pass that do not fill a batch are left out of that pass.
        """
        train, steps = self.train, self.train.count // batch_size
        if train.images is not None:

            def batch(step):
                within = step % steps * batch_size + tf.range(batch_size, dtype=tf.int64)
                order = tf.random.experimental.index_shuffle(
                    within, seed=[seed, step // steps], max_index=train.count - 1
                )
                return step, tf.gather(train.images, order)

            batches = tf.data.Dataset.counter(start).map(batch, num_parallel_calls=2)
        else:
            held = max(batch_size, SHUFFLE_BYTES // int(np.prod(train.shape)))

            def epoch(number):
                order = tf.random.experimental.index_shuffle(number, [seed, 1], max_index=2**31 - 1)
                shuffled = train.stream().shuffle(held, seed=order, reshuffle_each_iteration=False)
                first = start - number * steps  # batches of this epoch that are done already
                numbered = shuffled.batch(batch_size, drop_remainder=True).enumerate(number * steps)
                return numbered.skip(tf.maximum(first, 0))

            batches = tf.data.Dataset.counter(start // steps).flat_map(epoch)
        prepared = batches.map(lambda step, images: self._prepare(images, [seed, step]))
        return prepared.prefetch(tf.data.AUTOTUNE)

    def evaluation_batches(self, name, batch_size, seed):
        """Every image of the "validation" or "test" split, in order, the same each time."""
        split = getattr(self, name)
        numbered = split.dataset().enumerate()
        prepared = numbered.map(
            lambda index, image: self._prepare(image, [seed, index]), num_parallel_calls=2
        )
        batches = prepared.batch(batch_size)
        return (batches if split.images is None else batches.cache()).prefetch(1)

    def _prepare(self, images, noise_seed):
        images = to_float(images)
        if self.binarise:
            noise = tf.random.stateless_uniform(tf.shape(images), seed=noise_seed)
            images = tf.cast(noise < images, tf.float32)
        return images


def load(config):
    """The `Splits` of a `Config`'s data set.

    Raises:
      InputError: no such data set, or images that cannot be used; nothing has been written.
    """
    try:
        named = _read(config)
        shapes = {name: split.shape for name, split in named.items()}
        if len(set(shapes.values())) > 1:
            raise ImageError(f"splits of different image shapes: {shapes}")
        named = _with_all_splits(named, config.seed)
    except ImageError as error:
        raise InputError(f"--dataset {config.dataset}: {error}") from error
    splits = Splits(**named, binarise=config.likelihood == "independent_bernoulli")
    _check_kind(splits, config)
    if config.batch_size > splits.train.count:
        raise InputError(
            f"--batch-size {config.batch_size}: expected at most the {splits.train.count} "
            f"training images of {config.dataset}"
        )
    return splits


def _check_kind(splits, config):
    """Refuses a density on images whose pixels are all 0 or 1: it has no maximum."""
    fixed = not isinstance(config.likelihood_scale, str)
    if splits.binarise or (config.likelihood == "independent_normal" and fixed):
        return
    values = np.unique(to_float(tf.constant(splits.train.head(1000))))
    if np.array_equal(values, [0.0, 1.0]):
        raise InputError(
            f"--likelihood {config.likelihood}: the pixels of {config.dataset} are 0 or 1 only: "
            "expected grey levels; use independent_bernoulli"
        )


def _read(config):
    """The splits that the data set has itself, by name."""
    path = Path(config.dataset)
    if config.dataset == "digits":
        return {"train": _in_memory(_digits(), config, "digits")}
    if path.suffix in (".npz", ".npy"):
        arrays = read_arrays(path)
        if "train" not in arrays:
            raise ImageError(f"arrays {', '.join(arrays) or 'none'}: expected one named train")
        names = [name for name in ("train", "validation", "test") if name in arrays]
        return {name: _in_memory(checked(arrays[name], name), config, name) for name in names}
    if path.is_dir():
        return {"train": _folder(path, config)}
    if path.exists():
        raise ImageError("expected a folder, a .npz, a .npy, digits, or the name of a TFDS data set")
    from training.tfds_source import read_tfds  # its import takes seconds

    return read_tfds(config, IN_MEMORY_BYTES)


def _digits():
    from sklearn.datasets import load_digits

    grey = load_digits().images / 16.0  # 0..16 -> 0..1
    return np.rint(grey * 255).astype(np.uint8)[..., np.newaxis]


def _in_memory(images, config, name):
    if config.image_size is not None:
        images = resize_images(tf.constant(images), config.image_size)
    if min(images.shape[1:3]) < 8:
        raise ImageError(f"{name}: images of {images.shape[1:3]}: expected at least 8x8 pixels")
    return Split(len(images), tuple(images.shape[1:]), images=tf.constant(images))


def _folder(folder, config):
    files = find_files(folder)
    shapes = [file_shape(path) for path in files]
    channels = max(shape[2] for shape in shapes)
    side = config.image_size
    sizes = {shape[:2] for shape in shapes}
    if side is None and len(sizes) > 1:
        raise ImageError(f"files of {len(sizes)} sizes: give --image-size")
    height, width = (side, side) if side else sizes.pop()
    if min(height, width) < 8:
        raise ImageError(f"files of {height}x{width} pixels: expected at least 8x8")
    shape = (height, width, channels)

    def read(path):
        image = tf.numpy_function(lambda p: read_file(p.decode(), channels), [path], tf.uint8)
        image.set_shape((None, None, channels))
        return tf.ensure_shape(resize_images(image, side) if side else image, shape)

    # A fixed shuffled order: folders come sorted by class, and a stream shuffles only so far.
    order = np.random.default_rng(config.seed).permutation(len(files))
    paths = [str(files[index]) for index in order]

    def stream():
        return tf.data.Dataset.from_tensor_slices(paths).map(read, num_parallel_calls=2)

    return _kept(Split(len(files), shape, stream=stream))


def _kept(split):
    """`split` in memory, where it fits."""
    if split.count * int(np.prod(split.shape)) > IN_MEMORY_BYTES:
        return split
    images = np.empty((split.count, *split.shape), np.uint8)
    for index, image in enumerate(split.stream()):
        images[index] = image
    return Split(split.count, split.shape, images=tf.constant(images))


def _with_all_splits(named, seed):
    """Adds the splits that are missing, from the training images, chosen by the seed."""
    missing = [name for name in ("validation", "test") if name not in named]
    train = named["train"]
    share = max(1, round(HELD_OUT * train.count))
    if train.count <= share * len(missing):
        raise ImageError(f"{train.count} images: expected at least {len(missing) + 1}, to split")
    parts = {name: (share * i, share * (i + 1)) for i, name in enumerate(missing)}
    parts["train"] = (share * len(missing), train.count)
    return {**named, **{name: _part(train, *bounds, seed) for name, bounds in parts.items()}}


def _part(split, start, stop, seed):
    """The images whose places in a random order, a function of the seed, are start..stop - 1."""

    def chosen(index):
        place = tf.random.experimental.index_shuffle(index, [seed, 0], max_index=split.count - 1)
        return (place >= start) & (place < stop)

    if split.images is not None:
        kept = tf.boolean_mask(split.images, chosen(tf.range(split.count, dtype=tf.int64)))
        return Split(stop - start, split.shape, images=kept)

    def stream():
        numbered = split.stream().enumerate().filter(lambda index, _: chosen(index))
        return numbered.map(lambda _, image: image)

    return Split(stop - start, split.shape, stream=stream)
