"""Noise on the encoder's input, in training only."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.layers.counted_draws import CountedDraws


class TrainingNoise(tf_keras.layers.Layer, CountedDraws):
    """Noise on its input in training, and nothing otherwise: subclasses define `noisy`.

    The target remains the clean image, so the loss remains a bound on log p(x) (Im et al.,
    "Denoising criterion for variational auto-encoding framework", 2017). The noise is afresh in
    each step, a function of the seed and the number of steps.

    Attributes:
      stream: folded into the seed, so that layers of one model with the same seed draw other noise.

    Args:
      seed: as `DistributionLayer` takes it.
    """

    stream = 1  # the posterior has none

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.count_draws(seed)

    def noisy(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`images` [B, H, W, C] with noise that is a function of `seed`, int64 [2]."""
        raise TypeError(f"{type(self).__name__} does not define noisy()")

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return images
        seed = tf.random.experimental.stateless_fold_in(self.next_seed(), self.stream)
        return self.noisy(images, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


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
