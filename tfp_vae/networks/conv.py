"""Convolutions of stride two."""

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks import pyramid
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel, with_bias
from tfp_vae.networks.map_hierarchy import OnMaps

tfkl = tf_keras.layers


class Conv(OnMaps):
    """Convolutions of stride two; in the decoder transposed ones, cropped to odd sizes.

    Args:
      activation: a name in `ACTIVATIONS`.
      filters: of each convolution of the encoder, and in reverse of the decoder; () is
        `pyramid.default_filters`.
    """

    maps = 1

    def __init__(self, activation: str, filters: tuple[int, ...]) -> None:
        self.activation = activation
        self.filters = filters

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Features [B, F] of images [B, H, W, C]."""
        x = images
        for filters in self.filters or pyramid.default_filters(*images.shape[1:3]):
            hidden = ACTIVATIONS[self.activation]
            x = tfkl.Conv2D(filters, 3, strides=2, padding="same", **hidden)(x)
        return tfkl.Flatten()(x)

    def decode(self, latents: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D], as `Network.decode`."""
        hidden = ACTIVATIONS[self.activation]
        parameters, height, width, channels = start.shape
        levels = self.filters or pyramid.default_filters(height, width)
        rows, columns = pyramid.smallest(height, width, len(levels))
        x = tfkl.Dense(rows * columns * levels[-1], **hidden)(latents)
        x = tfkl.Reshape((rows, columns, levels[-1]))(x)
        for filters in reversed(levels):
            x = tfkl.Conv2DTranspose(filters, 3, strides=2, padding="same", **hidden)(x)
        x = pyramid.cropped(x, height, width)
        last = tfkl.Conv2D(
            parameters * channels, 3, padding="same", kernel_initializer=last_kernel(spread)
        )
        x = with_bias(last, x, bias=start.mean(axis=(1, 2)).ravel())
        return pyramid.flat_parameters(x, parameters)
