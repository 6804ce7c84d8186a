"""Fully connected layers on the pixels."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel, with_bias
from tfp_vae.networks.dense_hierarchy import DenseHierarchy
from tfp_vae.networks.dropout import dropped

tfkl = tf_keras.layers


class Dense:
    """Fully connected layers, in the decoder those of the encoder in reverse.

    Args:
      activation: a name in `ACTIVATIONS`.
      hidden_units: sizes of the encoder's hidden layers; () makes encoder and decoder linear.
      dropout: rate of the `CountedDropout` after each hidden layer.
    """

    linear_path = True

    def __init__(
        self, activation: str, hidden_units: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        self.activation = activation
        self.hidden_units = hidden_units
        self.dropout = dropout

    def _stack(self, x: tf.Tensor, units: Iterable[int]) -> tf.Tensor:
        for size in units:
            x = dropped(tfkl.Dense(size, **ACTIVATIONS[self.activation])(x), self.dropout)
        return x

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Features [B, F] of images [B, H, W, C]."""
        return self._stack(tfkl.Flatten()(images), self.hidden_units)

    def start_image(self, mean: np.ndarray) -> np.ndarray:
        """`mean`: the last layer has a bias for each pixel."""
        return mean

    def decode(self, latents: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D], as `Network.decode`."""
        x = self._stack(latents, reversed(self.hidden_units))
        last = tfkl.Dense(start.size, kernel_initializer=last_kernel(spread))
        return with_bias(last, x, bias=start.ravel())

    def hierarchy(self, level_sizes: tuple[int, ...]) -> DenseHierarchy:
        """The paths of a hierarchy with vectors of `level_sizes` latents, the top one first."""
        return DenseHierarchy(self.activation, self.hidden_units, level_sizes)
