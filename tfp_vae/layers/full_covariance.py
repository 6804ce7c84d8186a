"""The layer before a `MultivariateNormalTriL`: its off-diagonals learn as slowly as the rest."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.layers.packed_normal import diagonal_places


@tf_keras.saving.register_keras_serializable("tfp_vae")
class FullCovarianceDense(tf_keras.layers.Dense):
    """A dense layer that divides the kernel of the off-diagonals by sqrt(D).

    A step of Adam moves an output by the step size times the sum of the inputs' sizes: with the
    thousands of features of a feature map, by 1 or more. The off-diagonals of a row, up to D - 1 of
    them, add up in a draw of one latent; without the division a model with many features or latents
    learns far more slowly than with a diagonal covariance.

    Args:
      event_size: D, the number of latents. There are `D + D (D + 1) / 2` outputs, in the order that
        `tfp.layers.MultivariateNormalTriL` reads them.
      kernel_initializer: as `tf_keras.layers.Dense` takes it.
    """

    def __init__(
        self,
        event_size: int,
        kernel_initializer: Any = "glorot_uniform",
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        units = event_size + event_size * (event_size + 1) // 2
        options = {"name": name, "trainable": trainable, "dtype": dtype}
        super().__init__(units, kernel_initializer=kernel_initializer, **options)
        self.event_size = event_size
        self._factors = np.full([self.units], 1.0 / math.sqrt(event_size), np.float32)
        self._factors[:event_size] = 1.0
        self._factors[event_size + diagonal_places(event_size)] = 1.0

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The parameters [B, units] at features [B, F]."""
        inputs = tf.cast(inputs, self.compute_dtype)
        # The product's columns, which are fewer numbers than the kernel's where features are many.
        product = tf.matmul(inputs, self.kernel)
        return product * tf.constant(self._factors, product.dtype) + self.bias

    def get_config(self) -> dict[str, Any]:
        names = ("name", "trainable", "dtype", "kernel_initializer")
        config = super().get_config()
        return {"event_size": self.event_size, **{name: config[name] for name in names}}
