"""Dropout whose draws a resumed run continues."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks.training_noise import TrainingNoise


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CountedDropout(TrainingNoise):
    """In training, sets a number to 0 with probability `rate`, and divides it by 1 - `rate` else.

    As Srivastava et al., "Dropout" (2014). `tf_keras.layers.Dropout` draws from a generator whose
    state is in no checkpoint.

    Args:
      rate: in [0, 1).
      seed: None draws it from NumPy's global state: the layers of a model then draw other masks.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(np.random.randint(2**31) if seed is None else seed, **kwargs)
        self.rate = rate

    def noisy(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        uniform = tf.random.stateless_uniform(tf.shape(inputs), seed, alg="philox")
        return tf.where(uniform < self.rate, tf.zeros_like(inputs), inputs / (1.0 - self.rate))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


def dropped(x: tf.Tensor, rate: float) -> tf.Tensor:
    """`x` after a `CountedDropout`, which a `rate` of 0 does without."""
    return CountedDropout(rate)(x) if rate else x
