"""The splits of a data set by its name: digits, arrays, a folder of files, or TFDS."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images import arrays, convert, files
from training.config import Config
from training.data import tfds
from training.data.split import Split, fits_in_memory, require_size


def read(config: Config) -> dict[str, Split]:
    """The splits that the data set of a `Config` has itself, by name; "train" is among them.

    Raises:
      ImageError: no such data set, or images that cannot be used.
    """
    try:
        return _read(config, Path(config.dataset))
    except OSError as error:
        raise ImageError(f"cannot be read ({error})") from error


def _read(config: Config, path: Path) -> dict[str, Split]:
    if config.dataset == "digits":
        pixels, labels = _digits()
        split = _in_memory(pixels, config.image_size, "digits")
        return {"train": dataclasses.replace(split, labels=lambda: labels)}
    if path.suffix in (".npz", ".npy"):
        return _arrays(path, config.image_size)
    if path.is_dir():
        return {"train": _folder(path, config.image_size, config.seed)}
    if path.exists():
        raise ImageError("expected a folder, a .npz or a .npy")
    return tfds.read(config.dataset, config.data_dir, config.image_size)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 8, 8, 1], uint8, and labels [1797]."""
    from sklearn.datasets import load_digits  # its import takes a second

    digits = load_digits()
    grey = digits.images / 16.0  # 0..16 -> 0..1
    return np.rint(grey * 255).astype(np.uint8)[..., np.newaxis], digits.target


def _arrays(path: Path, side: int | None) -> dict[str, Split]:
    found = arrays.read_arrays(path)
    if "train" not in found:
        raise ImageError(f"arrays {', '.join(found) or 'none'}: expected one named train")
    names = [name for name in ("train", "validation", "test") if name in found]
    checked = {name: convert.checked(found[name], name) for name in names}
    return {name: _in_memory(checked[name], side, name) for name in names}


def _in_memory(pixels: np.ndarray, side: int | None, name: str) -> Split:
    if side is not None:
        if not fits_in_memory(len(pixels), (side, side, pixels.shape[-1])):
            raise ImageError(f"{name}: over 1 GiB at {side}x{side}: expected less, or a folder")
        pixels = convert.resize(tf.constant(pixels), side)
    height, width, channels = pixels.shape[1:]
    require_size((height, width), name)
    return Split(len(pixels), (height, width, channels), pixels=tf.constant(pixels))


def _folder(folder: Path, side: int | None, seed: int) -> Split:
    found = files.find_files(folder)
    shapes = [files.file_shape(path) for path in found]
    sizes = {shape[:2] for shape in shapes}
    if side is None and len(sizes) > 1:
        raise ImageError(f"files of {len(sizes)} sizes: give --image-size")
    channels = max(shape[2] for shape in shapes)  # grey among colour files becomes colour
    shape = (side, side, channels) if side else (*sizes.pop(), channels)
    require_size(shape, "files")
    # Folders come sorted by class, and the shuffle buffer of a stream holds part of the images.
    order = np.random.default_rng(seed).permutation(len(found))
    paths = [str(found[index]) for index in order]

    def decode(path: str | bytes) -> np.ndarray:
        pixels = files.read_file(path if isinstance(path, str) else path.decode(), channels)
        return convert.resize(tf.constant(pixels), side).numpy() if side else pixels

    if fits_in_memory(len(paths), shape):
        return Split(len(paths), shape, pixels=tf.constant(np.stack([decode(p) for p in paths])))

    def decode_tensor(path: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(decode, [path], tf.uint8), shape)

    def stream() -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(paths).map(decode_tensor, num_parallel_calls=2)

    names = (f"{path.relative_to(folder).as_posix()} {path.stat().st_size}" for path in found)
    return Split(len(paths), shape, stream=stream, source="\n".join(names))
