"""The splits of a data set by its name: digits, arrays, a folder of files, or TFDS."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.cli.app import one_line
from tfp_vae.errors import ImageError, InputError
from tfp_vae.images import arrays, convert, digits, files, folders
from tfp_vae.images import labels as class_labels
from tfp_vae.images.colours import colour
from training.config import Config
from training.data import tfds
from training.data.split import Split, fits_in_memory, require_size

ARRAYS = (".npz", ".npy")  # suffixes


def read(config: Config) -> dict[str, Split]:
    """The splits that the data set of a `Config` has itself, by name; "train" is among them.

    Raises:
      ImageError: no such data set, or images that cannot be used.
      InputError: `skip_damaged` for a data set that is no folder.
    """
    try:
        return _read(config, Path(config.dataset))
    except OSError as error:
        raise ImageError(f"cannot be read ({error})") from error


def _read(config: Config, path: Path) -> dict[str, Split]:
    is_array = path.suffix.lower() in ARRAYS
    is_folder = path.is_dir() and config.dataset != digits.NAME and not is_array
    if config.skip_damaged and not is_folder:
        raise InputError(f"--skip-damaged: {config.dataset} is no folder: expected one of images")
    if is_folder:
        return {"train": _folder(path, config)}
    if config.dataset == digits.NAME:
        pixels, labels = digits.load()
        split = _in_memory(pixels, config.image_size, digits.NAME)
        return {"train": dataclasses.replace(split, labels=lambda: labels)}
    if is_array:
        return _arrays(path, config.image_size)
    if path.exists():
        raise ImageError("expected a folder, a .npz or a .npy")
    return tfds.read(config.dataset, config.data_dir, config.image_size, colour(config.background))


def _arrays(path: Path, side: int | None) -> dict[str, Split]:
    found = arrays.read_arrays(path)
    if "train" not in found:
        raise ImageError(f"arrays {', '.join(found) or 'none'}: expected one named train")
    names = [name for name in ("train", "validation", "test") if name in found]
    checked = {name: convert.checked(found[name], name) for name in names}
    labels = class_labels.of_arrays(found, names)
    splits = {name: _in_memory(checked[name], side, name) for name in names}
    return {name: _labelled(split, labels.get(name)) for name, split in splits.items()}


def _labelled(split: Split, labels: class_labels.Labels | None) -> Split:
    if labels is None:
        return split
    return dataclasses.replace(split, labels=lambda: labels.indices, label_names=labels.names)


def _in_memory(pixels: np.ndarray, side: int | None, name: str) -> Split:
    if side is not None:
        if not fits_in_memory(len(pixels), (side, side, pixels.shape[-1])):
            raise ImageError(f"{name}: over 1 GiB at {side}x{side}: expected less, or a folder")
        pixels = convert.resize(tf.constant(pixels), side)
    height, width, channels = pixels.shape[1:]
    require_size((height, width), name)
    return Split(len(pixels), (height, width, channels), pixels=tf.constant(pixels))


def _folder(folder: Path, config: Config) -> Split:
    side = config.image_size

    def common(shapes: list[folders.Shape]) -> folders.Shape:
        height, width, channels = map(max, zip(*shapes, strict=True))
        # Grey among colour files becomes colour.
        return (side, side, channels) if side else (height, width, channels)

    found = folders.measure(
        files.find_files(folder),
        skip_damaged=config.skip_damaged,
        in_memory=lambda shapes: fits_in_memory(len(shapes), common(shapes)),
    )
    if found.damaged:
        print(one_line(found.left_out()))
    sizes = {shape[:2] for shape in found.shapes}
    if side is None and len(sizes) > 1:
        raise ImageError(f"files of {len(sizes)} sizes: give --image-size")
    shape = common(found.shapes)
    require_size(shape, "files")
    # Folders come sorted by class, and the shuffle buffer of a stream holds part of the images.
    order = np.random.default_rng(config.seed).permutation(len(found.paths))
    paths = [found.paths[index] for index in order]
    images = folders.ImageFiles(paths, shape, colour(config.background), found.threads)
    if fits_in_memory(len(paths), shape):
        split = Split(len(paths), shape, pixels=tf.constant(images.load()))
    else:
        names = (f"{p.relative_to(folder).as_posix()} {p.stat().st_size}" for p in found.paths)
        split = Split(len(paths), shape, **_streamed(images), source="\n".join(names))
    return _labelled(split, class_labels.of_folder(folder, paths))


def _streamed(images: folders.ImageFiles) -> dict[str, Any]:
    """The files one by one, and what reads one: uint8 [H, W, C]."""

    def decode(path: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(lambda name: images.read(os.fsdecode(name)), [path], tf.uint8)
        return tf.ensure_shape(pixels, images.shape[1:])

    paths = [os.fsencode(path) for path in images.paths]
    return {"stream": lambda: tf.data.Dataset.from_tensor_slices(paths), "decode": decode}
