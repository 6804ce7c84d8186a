"""Noise on the encoder's input, in training only."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.networks.training_noise import TrainingNoise


@tf_keras.saving.register_keras_serializable("tfp_vae")
class InputNoise(TrainingNoise):
    """Adds Normal noise to images in training: with it an encoder fits them less.

    Args:
      stddev: of the noise, in the unit of the input.
      seed: as `DistributionLayer` takes it.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = stddev

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(tf.shape(images), seed, alg="philox")
        return images + tf.cast(self.stddev * noise, images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}
