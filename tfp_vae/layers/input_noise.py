"""Noise on the encoder's input, in training only."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.layers.counted_draws import CountedDraws

STREAM = 1  # folded into the seed, so that a posterior with the same seed draws other noise


@tf_keras.saving.register_keras_serializable("tfp_vae")
class InputNoise(tf_keras.layers.Layer, CountedDraws):
    """Adds Normal noise to images in training, and nothing otherwise.

    With noise an encoder fits its training images less. The target remains the clean image, so the
    loss remains a bound on log p(x) (Im et al., "Denoising criterion for variational auto-encoding
    framework", 2017).

    Args:
      stddev: of the noise, in the unit of the input.
      seed: as `DistributionLayer` takes it.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed = seed
        self.count_draws(seed)

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return images
        seed = tf.random.experimental.stateless_fold_in(self.next_seed(), STREAM)
        noise = tf.random.stateless_normal(tf.shape(images), seed, alg="philox")
        return images + tf.cast(self.stddev * noise, images.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}
