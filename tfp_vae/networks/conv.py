"""Convolutions of stride two."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks import pyramid
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel, with_bias
from tfp_vae.networks.dropout import dropped
from tfp_vae.networks.on_maps import OnMaps

tfkl = tf_keras.layers


class Conv(OnMaps):
    """Convolutions of stride two; in the decoder transposed ones, cropped to odd sizes.

    Args:
      activation: a name in `ACTIVATIONS`.
      filters: of each convolution of the encoder, and in reverse of the decoder; () is
        `pyramid.default_filters`.
      dropout: rate of the `CountedDropout` after each convolution but the last one of the decoder.
    """

    maps = 1

    def __init__(self, activation: str, filters: tuple[int, ...], dropout: float = 0.0) -> None:
        self.activation = activation
        self.filters = filters
        self.dropout = dropout

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The smallest feature map [B, h, w, F] of images [B, H, W, C]."""
        x = images
        for filters in self.levels(*images.shape[1:3]):
            x = tfkl.Conv2D(filters, 3, strides=2, padding="same", **self.entry)(x)
            x = dropped(x, self.dropout)
        return x

    @property
    def entry(self) -> dict[str, Any]:
        return ACTIVATIONS[self.activation]

    def parameters(self, x: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) from the smallest feature map, as `Network.decode`."""
        parameters, height, width, channels = start.shape
        for filters in reversed(self.levels(height, width)):
            x = tfkl.Conv2DTranspose(filters, 3, strides=2, padding="same", **self.entry)(x)
            x = dropped(x, self.dropout)
        x = pyramid.cropped(x, height, width)
        last = tfkl.Conv2D(
            parameters * channels, 3, padding="same", kernel_initializer=last_kernel(spread)
        )
        x = with_bias(last, x, bias=start[:, 0, 0].ravel())
        return pyramid.flat_parameters(x, parameters)
