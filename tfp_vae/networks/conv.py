"""Convolutions of stride two."""

import math

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import with_bias

tfkl = tf_keras.layers

FILTERS = (32, 64)  # each convolution halves height and width


class Conv:
    """Convolutions of stride two; in the decoder transposed ones, cropped to odd sizes.

    Args:
      activation: a name in `ACTIVATIONS`.
    """

    def __init__(self, activation: str) -> None:
        self.activation = activation

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Features [B, F] of images [B, H, W, C]."""
        x = images
        for filters in FILTERS:
            hidden = ACTIVATIONS[self.activation]
            x = tfkl.Conv2D(filters, 3, strides=2, padding="same", **hidden)(x)
        return tfkl.Flatten()(x)

    def decode(self, latents: tf.Tensor, start: np.ndarray) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D], as `Network.decode`."""
        hidden = ACTIVATIONS[self.activation]
        parameters, height, width, channels = start.shape
        step = 2 ** len(FILTERS)
        rows, columns = math.ceil(height / step), math.ceil(width / step)
        x = tfkl.Dense(rows * columns * FILTERS[-1], **hidden)(latents)
        x = tfkl.Reshape((rows, columns, FILTERS[-1]))(x)
        for filters in reversed(FILTERS):
            x = tfkl.Conv2DTranspose(filters, 3, strides=2, padding="same", **hidden)(x)
        below, right = rows * step - height, columns * step - width
        if below or right:  # Keras would copy x and its gradient even where nothing is cropped.
            x = tfkl.Cropping2D(((0, below), (0, right)))(x)
        last = tfkl.Conv2D(parameters * channels, 3, padding="same")
        x = with_bias(last, x, bias=start.mean(axis=(1, 2)).ravel())
        x = tfkl.Reshape((height * width, parameters, channels))(x)
        return tfkl.Flatten()(tfkl.Permute((2, 1, 3))(x))
