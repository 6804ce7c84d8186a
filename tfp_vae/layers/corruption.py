"""Noise that a denoising autoencoder removes: on the encoder's input, in training only."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.networks.training_noise import TrainingNoise


class Corruption(TrainingNoise):
    """Corrupts images [B, H, W, C] in [0, 1]; what is corrupted is in [0, 1] too.

    Args:
      level: how much, in (0, 1].
      seed: as `DistributionLayer` takes it.

    Raises:
      InputError: another level.
    """

    def __init__(self, level: float, seed: int | None = None, **kwargs: Any) -> None:
        if not 0.0 < level <= 1.0:
            raise InputError(f"corruption_level {level}: expected a number in (0, 1]")
        super().__init__(seed, **kwargs)
        self.level = float(level)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "level": self.level}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class GaussianCorruption(Corruption):
    """Adds Normal noise with the standard deviation `level`, and clips the pixels to [0, 1].

    They are clipped as those of an image file are: noise on black or white goes one way only.
    """

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal(tf.shape(images), seed, alg="philox")
        return tf.clip_by_value(images + tf.cast(self.level * noise, images.dtype), 0.0, 1.0)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class MaskingCorruption(Corruption):
    """Sets a pixel, all channels of it, to 0 with probability `level` (Vincent et al., 2008)."""

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return tf.where(_uniform(images, seed) < self.level, tf.zeros_like(images), images)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class SaltAndPepperCorruption(Corruption):
    """Sets a pixel, all channels of it, to 0 or to 1 with probability `level` / 2 each."""

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        uniform = _uniform(images, seed)
        peppered = tf.where(uniform < self.level / 2, tf.zeros_like(images), images)
        return tf.where(uniform >= 1.0 - self.level / 2, tf.ones_like(images), peppered)


def none(seed: int | None = None) -> None:
    """No corruption; takes what the others take."""


def _uniform(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A number in [0, 1) for each pixel of `images`: [B, H, W, 1]."""
    shape = tf.concat([tf.shape(images)[:-1], [1]], axis=0)
    return tf.random.stateless_uniform(shape, seed, alg="philox")
