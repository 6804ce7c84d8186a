"""Checking, converting and resizing arrays and tensors of images."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images.colours import Colour


def checked(array: np.ndarray, name: str) -> np.ndarray:
    """`array` as images.

    Args:
      array: [N, H, W], [N, H, W, 1] or [N, H, W, 3].
      name: what error messages call it.

    Returns:
      uint8 or float32 [N, H, W, C].

    Raises:
      ImageError: another rank, type or range, NaN, or an empty axis.
    """
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ImageError(
            f"{name}: shape {array.shape}: expected [N,H,W], [N,H,W,1] or [N,H,W,3], none empty"
        )
    if array.dtype == np.uint8:
        if array.max() == 1:
            raise ImageError(f"{name}: uint8 of 0 and 1 only: expected 0..255, or floats 0..1")
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{name}: {array.dtype} pixels: expected uint8 0..255 or float 0..1")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # true for NaN too
        raise ImageError(f"{name}: float pixels from {low:g} to {high:g}: expected 0..1, no NaN")
    return array.astype(np.float32)


def to_float(images: Any) -> tf.Tensor:
    """Images of any shape, uint8 0..255 or floats in [0, 1], as float32 in [0, 1]."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return tf.cast(images, tf.float32)


def composite(images: tf.Tensor, background: Colour) -> tf.Tensor:
    """Images uint8 [..., 4], red, green, blue and alpha, over a background: uint8 [..., 3]."""
    floats = tf.cast(images, tf.float32)
    colours, alpha = floats[..., :3], floats[..., 3:] / 255.0
    blended = alpha * colours + (1.0 - alpha) * tf.constant(background, tf.float32)
    return tf.cast(tf.round(blended), tf.uint8)


def resize(images: tf.Tensor, size: int | tuple[int, int]) -> tf.Tensor:
    """Images cropped to their middle and resized.

    Args:
      images: [..., H, W, C], uint8 0..255 or floats in [0, 1].
      size: (height, width), or the side of a square. The crop is the largest part of the image
        with these proportions.

    Returns:
      [..., height, width, C]: uint8 for uint8 images, else float32.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    cropped_height = tf.minimum(height, tf.maximum(1, width * rows // columns))
    cropped_width = tf.minimum(width, tf.maximum(1, height * columns // rows))
    top, left = (height - cropped_height) // 2, (width - cropped_width) // 2
    images = tf.image.crop_to_bounding_box(images, top, left, cropped_height, cropped_width)
    resized = tf.image.resize(to_float(images), (rows, columns), antialias=True)
    resized = tf.clip_by_value(resized, 0.0, 1.0)
    return tf.cast(tf.round(resized * 255.0), tf.uint8) if images.dtype == tf.uint8 else resized
