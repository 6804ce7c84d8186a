"""A layer that changes its input in training only, and continues its draws after a resume."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.networks.counted_draws import CountedDraws


class TrainingNoise(tf_keras.layers.Layer, CountedDraws):
    """Noise on its input in training, and nothing otherwise: subclasses define `noisy`.

    The input is the image that the encoder sees, or features of it. The target remains the clean
    image, so the loss remains a bound on log p(x) (Im et al., "Denoising criterion for variational
    auto-encoding framework", 2017). The noise is afresh in each step, a function of the seed and
    the number of steps.

    Attributes:
      stream: folded into the seed, so that layers of one model with the same seed draw other noise;
        above the indices of levels, which the posterior of a hierarchy folds into its seed.

    Args:
      seed: as `DistributionLayer` takes it.
    """

    stream = 2**30 + 1

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.count_draws(seed, f"{self.name}/draws")

    def noisy(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """`inputs` [B, ...] with noise that is a function of `seed`, int64 [2]."""
        raise TypeError(f"{type(self).__name__} does not define noisy()")

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return inputs
        seed = tf.random.experimental.stateless_fold_in(self.next_seed(), self.stream)
        return self.noisy(inputs, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
