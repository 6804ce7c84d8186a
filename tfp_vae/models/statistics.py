"""What a model takes from its training images before it is trained."""

import dataclasses
from typing import Any, Self

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.images.convert import to_float
from tfp_vae.models.checks import MAX_NORMAL_PIXEL

GREY, GREY_DEVIATION = 0.5, 0.25  # where no images are given
MIN_DEVIATION = 1e-3  # of images that are all alike


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Means and deviations of images in [0, 1].

    Args:
      mean: [H, W, C], the mean image.
      deviation: root mean squared deviation of a pixel from the mean image.
      channel_means: [C], of all pixels of a channel.
      channel_variances: [C] likewise.
    """

    mean: np.ndarray
    deviation: float
    channel_means: np.ndarray
    channel_variances: np.ndarray

    @classmethod
    def of(cls, images: Any, image_shape: tuple[int, ...]) -> Self:
        """The statistics of `images` [N, H, W, C], floats in [0, 1] or uint8 0..255, or None.

        Raises:
          InputError: no images, images of another shape than `image_shape`, or other numbers.
        """
        if images is None:
            grey = np.full(image_shape[-1:], GREY)
            variance = np.full(image_shape[-1:], GREY_DEVIATION**2)
            return cls(np.full(image_shape, GREY), GREY_DEVIATION, grey, variance)
        if np.ndim(images) != 4 or np.shape(images)[1:] != image_shape or not len(images):
            expected = ", ".join(map(str, image_shape))
            raise InputError(f"images {np.shape(images)}: expected (N, {expected}), N >= 1")
        if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
            raise InputError(f"images of {images.dtype}: expected floats in [0, 1] or uint8 0..255")
        pixels = to_float(images).numpy().astype(np.float64)
        low, high = pixels.min(), pixels.max()
        if not (low >= -MAX_NORMAL_PIXEL and high <= MAX_NORMAL_PIXEL):  # NaN too
            raise InputError(f"images: float pixels from {low:g} to {high:g}: expected 0..1")
        mean = pixels.mean(axis=0)
        return cls(
            mean,
            max(float(np.sqrt(np.mean((pixels - mean) ** 2))), MIN_DEVIATION),
            pixels.mean(axis=(0, 1, 2)),
            np.maximum(pixels.var(axis=(0, 1, 2)), MIN_DEVIATION**2),
        )

    def standardized(self, pixels: tf.Tensor) -> tf.Tensor:
        """`pixels` [B, H, W, C] with mean 0 and variance 1 in each channel of the images."""
        return tf_keras.layers.Normalization(
            mean=self.channel_means.tolist(), variance=self.channel_variances.tolist()
        )(pixels)
