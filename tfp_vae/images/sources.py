"""The images that a command is given as files, folders and arrays, in the shape of a model."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images import arrays, convert, files

Shape = tuple[int, int, int]  # (H, W, C)

RESIZE_BATCH = 1024  # images of an array that are resized in one call
# FILE.npy, FILE.npz or FILE.npz:ARRAY, each optionally followed by :ROW.
ARRAY_SOURCE = re.compile(r"(.+?\.np[yz])(?::([^:]*[^:0-9][^:]*))?(?::([0-9]+))?", re.IGNORECASE)


class ImageFiles:
    """Image files that look like an array uint8 [N, H, W, C]; slicing reads the files.

    Args:
      paths: N image files.
      image_shape: (H, W, C), to which images of another size are cropped and resized.
    """

    def __init__(self, paths: Sequence[Path], image_shape: Shape) -> None:
        self.paths = paths
        self.shape = (len(paths), *image_shape)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.stack([self._read(path) for path in self.paths[rows]])

    def _read(self, path: Path) -> np.ndarray:
        pixels = files.read_file(path, self.shape[-1])
        if pixels.shape == self.shape[1:]:
            return pixels
        return convert.resize(tf.constant(pixels), self.shape[1:3]).numpy()


class Collection(NamedTuple):
    """N images of one shape. Given one of the names, `read_one` reads that image alone."""

    pixels: np.ndarray | ImageFiles  # [N, H, W, C], uint8 or float32 in [0, 1]
    names: list[str]


def read(sources: Sequence[str], image_shape: Shape, *, resize: bool = False) -> Collection:
    """The images of `sources`, converted as training converts them.

    Args:
      sources: PNG or JPEG files, and folders of them, searched recursively; or arrays: FILE.npy,
        FILE.npz or FILE.npz:ARRAY, with :ROW for one image.
      image_shape: (H, W, C) of the model.
      resize: whether to crop and resize images of another size, and to make colour images grey for
        a model of grey images. Grey images always become colour for a model of colour images, as
        in training.

    Raises:
      ImageError: a source that cannot be read, or whose images have another shape.
    """
    matches = [ARRAY_SOURCE.fullmatch(source) for source in sources]
    found = [match for match in matches if match]
    if not found:
        paths = [path for source in sources for path in _files(Path(source))]
        for path in paths:
            _check_shape(str(path), files.file_shape(path), image_shape, resize)
        return Collection(ImageFiles(paths, image_shape), [str(path) for path in paths])
    if len(found) < len(sources):
        raise ImageError(f"{', '.join(sources)}: expected image files or arrays, not both")
    parts = [_read_array(match, image_shape, resize) for match in found]
    pixels = [part for part, _ in parts]
    if len({part.dtype for part in pixels}) > 1:  # uint8 0..255 and floats 0..1
        pixels = [convert.to_float(part).numpy() for part in pixels]
    return Collection(np.concatenate(pixels), [name for _, names in parts for name in names])


def read_one(source: str, image_shape: Shape, *, resize: bool = False) -> np.ndarray:
    """The one image of `source`, [1, H, W, C]; arguments as for `read`.

    Raises:
      ImageError: as `read`, or `source` has several images.
    """
    pixels, names = read([source], image_shape, resize=resize)
    if len(names) != 1:
        raise ImageError(f"{source}: {len(names)} images: expected one, such as {names[0]}")
    return pixels[0:1]


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return files.find_files(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder")
    return [path]


def _check_shape(name: str, shape: tuple[int, ...], image_shape: Shape, resize: bool) -> None:
    fits = shape[:2] == image_shape[:2] and shape[2] <= image_shape[2]
    if not (fits or resize):
        given, expected = ("x".join(map(str, sizes)) for sizes in (shape, image_shape))
        raise ImageError(f"{name}: {given} pixels: expected {expected}, or --resize to convert")


# The last file stays in memory: the results of a search are read row by row from one file.
@functools.lru_cache(maxsize=1)
def _array(path: str, array: str | None) -> tuple[np.ndarray, str]:
    """The images of one array of a file, and its name in messages.

    Args:
      path: a `.npy` or `.npz`.
      array: the name of an array in a `.npz`; None is its only one.
    """
    found = arrays.read_arrays(path)
    if path.lower().endswith(".npy"):
        if array is not None:
            raise ImageError(f"{path}:{array}: a .npy has one array: expected {path}[:ROW]")
        return convert.checked(found["train"], path), path
    if array is None and len(found) == 1:
        (array,) = found
    if array is None or array not in found:
        given = path if array is None else f"{path}:{array}"
        expected = ", ".join(f"{path}:{name}" for name in found)
        raise ImageError(f"{given}: expected one of {expected or 'its arrays, but it is empty'}")
    name = f"{path}:{array}"
    return convert.checked(found[array], name), name


def _read_array(
    match: re.Match[str], image_shape: Shape, resize: bool
) -> tuple[np.ndarray, list[str]]:
    """The images [N, H, W, C] of a match of `ARRAY_SOURCE`, and their N names."""
    path, array, row = match.groups()
    pixels, name = _array(path, array)
    _check_shape(name, pixels.shape[1:], image_shape, resize)
    rows = range(len(pixels))
    if row is not None:
        if int(row) not in rows:
            raise ImageError(f"{name}:{row}: expected a row from 0 to {len(pixels) - 1}")
        rows = range(int(row), int(row) + 1)
    pixels = _converted(pixels[rows.start : rows.stop], image_shape)
    return pixels, [f"{name}:{row}" for row in rows]


def _converted(pixels: np.ndarray, image_shape: Shape) -> np.ndarray:
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
