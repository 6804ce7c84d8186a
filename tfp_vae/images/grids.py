"""Drawing many images in one picture, and writing it. Imports no TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from tfp_vae.errors import InputError
from tfp_vae.whole_files import replacing

MIN_SIDE = 48  # pixels: smaller images are enlarged by a whole factor
LINE_GREY = 128  # of the lines between images, 0..255


def grid(images: ArrayLike, columns: int) -> np.ndarray:
    """Images in rows, with a grey line of one pixel around each.

    Args:
      images: [N, H, W, C], floats in [0, 1]; others are clipped, and NaN is drawn black.
      columns: images in a row.

    Returns:
      uint8 [height, width, C].
    """
    pixels = to_bytes(images)
    factor = -(-MIN_SIDE // max(pixels.shape[1:3]))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, channels = pixels.shape
    rows = -(-count // columns)
    size = (rows * (height + 1) + 1, columns * (width + 1) + 1, channels)
    canvas = np.full(size, LINE_GREY, np.uint8)
    for index, image in enumerate(pixels):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    return canvas


def is_grid(image: np.ndarray) -> bool:
    """Whether an image, uint8 [height, width, C], has the line of `grid` around it."""
    edges = (image[0], image[-1], image[:, 0], image[:, -1])
    return all((edge == LINE_GREY).all() for edge in edges)


def pairs(originals: Any, reconstructions: Any, columns: int) -> np.ndarray:
    """A grid of images where each row is followed by a row of their reconstructions.

    Args:
      originals: [N, H, W, C], floats in [0, 1].
      reconstructions: the same shape.
      columns: images in a row.

    Returns:
      uint8 [height, width, C].
    """
    blank = np.ones([-len(originals) % columns, *originals.shape[1:]], np.float32)
    both = np.stack([np.concatenate([images, blank]) for images in (originals, reconstructions)])
    rows = both.reshape(2, -1, columns, *originals.shape[1:]).swapaxes(0, 1)
    return grid(rows.reshape(-1, *originals.shape[1:]), columns)


def to_bytes(images: ArrayLike) -> np.ndarray:
    """Floats in [0, 1], of any shape, as uint8 0..255; others are clipped, and NaN becomes 0."""
    floats = np.nan_to_num(np.asarray(images, np.float32)).clip(0, 1)
    return np.rint(floats * 255).astype(np.uint8)


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Writes one uint8 image [H, W, C].

    Raises:
      InputError: an image of more than 4 channels.
    """
    if image.shape[-1] > 4:
        raise InputError(f"{path}: {image.shape[-1]} channels: expected at most 4 in a picture")
    with replacing(path) as file:
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
