"""A mixture of Normals with diagonal covariances."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.priors.base import Prior
from tfp_vae.priors.components import ComponentMixture

MIN_SCALE = 1e-2  # of a component, where the standard deviation of N(0, I) is 1
START_SCALE = 1.0


@tf_keras.saving.register_keras_serializable("tfp_vae")
class MixturePrior(Prior):
    """K Normals with learned weights, means and standard deviations.

    It starts with equal weights, means drawn from N(0, I), by the seed that
    `tf_keras.utils.set_random_seed` sets, and standard deviations of 1.

    Args:
      latent_size: D.
      components: K.
    """

    def __init__(self, latent_size: int, components: int = 100, **kwargs: Any) -> None:
        super().__init__(latent_size, **kwargs)
        self.components = int(components)

    def build(self, input_shape: Any) -> None:
        shape = (self.components, self.latent_size)
        spread = tf_keras.initializers.RandomNormal(stddev=1.0)
        raw = tf.math.log(tf.math.expm1(START_SCALE - MIN_SCALE))
        self.logits = self.add_weight("logits", (self.components,), initializer="zeros")
        self.means = self.add_weight("means", shape, initializer=spread)
        self.raw_scales = self.add_weight(
            "raw_scales", shape, initializer=tf_keras.initializers.Constant(float(raw))
        )
        super().build(input_shape)

    def distribution(self) -> tfd.Distribution:
        means, raw = tf.convert_to_tensor(self.means), tf.convert_to_tensor(self.raw_scales)
        scales = MIN_SCALE + tf.math.softplus(raw)
        return ComponentMixture(
            tf.convert_to_tensor(self.logits),
            lambda: tfd.MultivariateNormalDiag(means, scales),
            self.latent_size,
            lambda indices: tfd.MultivariateNormalDiag(
                tf.gather(means, indices), tf.gather(scales, indices)
            ),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}
