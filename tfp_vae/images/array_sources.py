"""The images and labels of one array in a file, or of one TFDS split, in the shape of a model."""

import functools
import math
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images import arrays, convert, tfds
from tfp_vae.images.colours import Colour
from tfp_vae.images.labels import Labels, are_labels, of_arrays

Shape = tuple[int, int, int]  # (H, W, C)

RESIZE_BATCH = 1024  # images of an array that are resized in one call


class Part(NamedTuple):
    """The images of one source."""

    pixels: np.ndarray  # [N, H, W, C], uint8 or float32 in [0, 1]
    names: list[str]
    labels: list[str] | None


def check_shape(name: str, shape: tuple[int, ...], image_shape: Shape, resize: bool) -> None:
    """Refuses images of another shape that are not to be converted.

    Raises:
      ImageError: names both shapes.
    """
    fits = shape[:2] == image_shape[:2] and shape[2] <= image_shape[2]
    if not (fits or resize):
        given, expected = ("x".join(map(str, sizes)) for sizes in (shape, image_shape))
        raise ImageError(f"{name}: {given} pixels: expected {expected}, or --resize to convert")


def read_array(
    path: str, array: str | None, row: str | None, image_shape: Shape, resize: bool
) -> Part:
    """The images of an array.

    Args:
      path: a `.npy` or `.npz`.
      array: the name of an array in a `.npz`; None is its only array of images.
      row: of one image, in digits; None is all.
      image_shape: (H, W, C) of the model.
      resize: whether to convert images of another size, or of colours for a model of grey images.

    Raises:
      ImageError: no such file, array or row, or images of another shape.
    """
    pixels, name, labels = _array(path, array, _version(path))
    check_shape(name, pixels.shape[1:], image_shape, resize)
    rows = _rows(name, row, len(pixels))
    chosen = slice(rows.start, rows.stop)
    texts = labels.texts()[chosen] if labels else None
    return Part(converted(pixels[chosen], image_shape), [f"{name}:{row}" for row in rows], texts)


def read_tfds(
    data_set: str,
    split: str,
    row: str | None,
    image_shape: Shape,
    resize: bool,
    background: Colour,
    data_dir: str | None = None,
) -> Part:
    """The images of a split of TFDS, which is in `data_dir`; arguments as for `read_array`.

    Raises:
      ImageError: no such data set, split or row, images of another shape, or too many for memory.
    """
    name = f"{tfds.PREFIX}{data_set}:{split}"
    try:
        found = tfds.DataSet(data_set, data_dir, background)
        if split not in found.splits:
            raise ImageError(f"expected a split: {', '.join(found.splits)}")
        several_sizes = None in found.shape
        if several_sizes and not resize:
            raise ImageError("images of several sizes: expected --resize to convert")
        size = image_shape[:2] if several_sizes else None
        shape = (*(size or found.shape[:2]), found.shape[2])
        check_shape(name, shape, image_shape, resize)
        rows = _rows(name, row, found.count(split))
        arrays.check_size(len(rows) * math.prod(shape))
        pixels = tfds.decoded(found.stream(split, size, rows), split).numpy()
        labels = found.labels(split, rows).texts() if found.label_names is not None else None
    except (ImageError, ValueError) as error:
        prefix = "" if str(error).startswith(name) else f"{name}: "
        raise ImageError(f"{prefix}{error}") from error
    return Part(converted(pixels, image_shape), [f"{name}:{row}" for row in rows], labels)


def _version(path: str) -> tuple[int, ...]:
    """Numbers that differ for another file at a path."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # which the reader says
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns


# The last file stays in memory: the results of a search are read row by row from one file.
@functools.lru_cache(maxsize=1)
def _array(
    path: str, array: str | None, version: tuple[int, ...]
) -> tuple[np.ndarray, str, Labels | None]:
    """The images of one array of a file, its name in messages, and its labels."""
    found = arrays.read_arrays(path)
    if path.lower().endswith(".npy"):
        if array is not None:
            raise ImageError(f"{path}:{array}: a .npy has one array: expected {path}[:ROW]")
        if set(found) != {"train"}:
            raise ImageError(f"{path}: an archive of arrays: expected a name that ends in .npz")
        return convert.checked(found["train"], path), path, None
    candidates = [name for name in found if not are_labels(name)]
    if array is None and len(candidates) == 1:
        (array,) = candidates
    if array is None or array not in found:
        given = path if array is None else f"{path}:{array}"
        empty = f"its arrays, but it {'has labels only' if found else 'is empty'}"
        expected = ", ".join(f"{path}:{name}" for name in candidates) or empty
        raise ImageError(f"{given}: expected one of {expected}")
    name = f"{path}:{array}"
    pixels = convert.checked(found[array], name)
    try:
        return pixels, name, of_arrays(found, [array]).get(array)
    except ImageError as error:
        raise ImageError(f"{path}:{error}") from error


def _rows(name: str, row: str | None, count: int) -> range:
    if row is None:
        return range(count)
    if int(row) >= count:
        raise ImageError(f"{name}:{row}: expected a row from 0 to {count - 1}")
    return range(int(row), int(row) + 1)


def converted(pixels: np.ndarray, image_shape: Shape) -> np.ndarray:
    """`pixels` [N, ...] with the channels and the size of the model: [N, H, W, C]."""
    if pixels.shape[1:] == image_shape:
        return pixels
    batches = []
    for start in range(0, len(pixels), RESIZE_BATCH):
        batch = tf.constant(pixels[start : start + RESIZE_BATCH])
        if pixels.shape[3] < image_shape[2]:
            batch = tf.image.grayscale_to_rgb(batch)
        elif pixels.shape[3] > image_shape[2]:
            batch = tf.image.rgb_to_grayscale(batch)
        if batch.shape[1:3] != image_shape[:2]:
            batch = convert.resize(batch, image_shape[:2])
        batches.append(batch.numpy())
    return np.concatenate(batches)
