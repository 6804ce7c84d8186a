"""The images that a command is given: files, folders and arrays, as a model takes them."""

import functools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae import images, plain_arrays
from tfp_vae.errors import ImageError

ROWS = 1024  # of an array, resized at once
# FILE.npy, FILE.npz, FILE.npz:ARRAY, each with :ROW or without.
ARRAY_SOURCE = re.compile(r"(.+?\.np[yz])(?::([^:]*[^:0-9][^:]*))?(?::([0-9]+))?", re.IGNORECASE)


class Collection(NamedTuple):
    """N images of one shape, each with a name that `read` takes to read it alone."""

    pixels: "np.ndarray | ImageFiles"  # [N, H, W, C], uint8 or float32 in [0, 1]
    names: list[str]


class ImageFiles:
    """Files as an array [N, H, W, C] of uint8 that reads what is sliced from it."""

    def __init__(self, paths, image_shape):
        self.paths = paths
        self.shape = (len(paths), *image_shape)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, rows):
        return np.stack([self._read(path) for path in self.paths[rows]])

    def _read(self, path):
        pixels = images.read_file(path, self.shape[-1])
        if pixels.shape == self.shape[1:]:
            return pixels
        return images.resize(tf.constant(pixels), self.shape[1:3]).numpy()


def read(sources, image_shape, *, resize=False):
    """The images of `sources`, converted as training converts them.

    Args:
      sources: PNG or JPEG files and folders of them, searched recursively; or arrays, FILE.npy,
        FILE.npz or FILE.npz:ARRAY, with :ROW for one image of them.
      image_shape: (H, W, C) of the model.
      resize: whether images of another size are cropped and resized, and colour ones made grey for
        a model of grey images. Grey ones become colour without it, as in training.

    Returns:
      A `Collection`.

    Raises:
      ImageError: a source that cannot be read, or has images of another shape.
    """
    matches = [ARRAY_SOURCE.fullmatch(source) for source in sources]
    if all(matches):
        parts = [_read_array(*match.groups(), image_shape, resize) for match in matches]
        names = [name for part in parts for name in part.names]
        pixels = [part.pixels for part in parts]
        if len({each.dtype for each in pixels}) > 1:  # 0..255 and 0..1
            pixels = [images.to_float(each) for each in pixels]
        return Collection(np.concatenate(pixels), names)
    if any(matches):
        raise ImageError(f"{', '.join(sources)}: expected image files or arrays, not both")
    paths = [path for source in sources for path in _files(Path(source))]
    for path in paths:
        _check_shape(path, images.file_shape(path), image_shape, resize)
    return Collection(ImageFiles(paths, image_shape), [str(path) for path in paths])


def read_one(source, image_shape, *, resize=False):
    """The one image of `source`, [1, H, W, C].

    Raises:
      ImageError: as `read`, or several images.
    """
    pixels, names = read([source], image_shape, resize=resize)
    if len(names) != 1:
        raise ImageError(f"{source}: {len(names)} images: expected one, such as {names[0]}")
    return pixels[0:1]


def _files(path):
    if path.is_dir():
        return images.find_files(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder")
    return [path]


def _check_shape(name, shape, image_shape, resize):
    fits = shape[:2] == image_shape[:2] and shape[2] <= image_shape[2]
    if not (fits or resize):
        given, expected = ("x".join(map(str, sizes)) for sizes in (shape, image_shape))
        raise ImageError(f"{name}: {given} pixels: expected {expected}, or --resize to convert")


@functools.lru_cache(maxsize=1)  # the neighbours that a search finds are read row by row
def _array(path, array):
    """The images in `array`, or the only array, of a file, and what to call them."""
    arrays = plain_arrays.read_arrays(path)
    if path.lower().endswith(".npy"):
        if array is not None:
            raise ImageError(f"{path}:{array}: a .npy has one array: expected {path}[:ROW]")
        return images.checked(arrays["train"], path), path
    if array is None and len(arrays) == 1:
        (array,) = arrays
    if array not in arrays:
        given = path if array is None else f"{path}:{array}"
        expected = ", ".join(f"{path}:{name}" for name in arrays)
        raise ImageError(f"{given}: expected one of {expected or 'its arrays, but it is empty'}")
    name = f"{path}:{array}"
    return images.checked(arrays[array], name), name


def _read_array(path, array, row, image_shape, resize):
    pixels, name = _array(path, array)
    _check_shape(name, pixels.shape[1:], image_shape, resize)
    rows = range(len(pixels))
    if row is not None:
        if int(row) not in rows:
            raise ImageError(f"{name}:{row}: expected a row from 0 to {len(pixels) - 1}")
        rows = range(int(row), int(row) + 1)
    pixels = _converted(pixels[rows.start : rows.stop], image_shape)
    return Collection(pixels, [f"{name}:{row}" for row in rows])


def _converted(pixels, image_shape):
    if pixels.shape[1:] == image_shape:
        return pixels
    blocks = []
    for start in range(0, len(pixels), ROWS):
        block = tf.constant(pixels[start : start + ROWS])
        if pixels.shape[3] < image_shape[2]:
            block = tf.image.grayscale_to_rgb(block)
        elif pixels.shape[3] > image_shape[2]:
            block = tf.image.rgb_to_grayscale(block)
        if block.shape[1:3] != image_shape[:2]:
            block = images.resize(block, image_shape[:2])
        blocks.append(block.numpy())
    return np.concatenate(blocks)
