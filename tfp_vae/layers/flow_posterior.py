"""q(z|x): a Normal that affine couplings transform, conditioned on the encoder's features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.flows import Couplings, NormalFlow
from tfp_vae.layers.base import DistributionLayer, bound, raw_scale
from tfp_vae.layers.posteriors import MIN_SCALE
from tfp_vae.objectives import LOG_2_PI

COUPLINGS = 4
HIDDEN_UNITS = 128
CONTEXT_SIZE = 32


@tf_keras.saving.register_keras_serializable("tfp_vae")
class FlowPosterior(DistributionLayer):
    """The distribution of f(x; h) with x from N(loc, scale^2), from `2 D + C` parameters.

    f are affine couplings (Dinh et al., "Density estimation using Real NVP", 2017), whose scales
    and shifts depend on the context h, the last C parameters; the first 2 D are loc and scale. It
    starts as the Normal: f is the identity. Log q(z|x) at the layer's own draw is that of x minus
    the log-determinant of f, without inverting f; elsewhere f is inverted, exactly.

    Mean and standard deviation, which a flow has in no closed form, are those of
    `2 * flows.MOMENT_PAIRS` draws that never change (`tfp_vae.flows.NormalFlow`).

    Args:
      event_size: D, the number of latents.
      couplings: how many, the even and the odd latents in turn.
      hidden_units: units of each of the two hidden layers of a coupling.
      context_size: C.
    """

    def __init__(
        self,
        event_size: int,
        couplings: int = COUPLINGS,
        hidden_units: int = HIDDEN_UNITS,
        context_size: int = CONTEXT_SIZE,
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.event_size, self.context_size = int(event_size), int(context_size)
        self.couplings, self.hidden_units = int(couplings), int(hidden_units)
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    def params_size(self, event_size: int) -> int:
        """The number of parameters of one draw."""
        return 2 * event_size + self.context_size

    def build(self, input_shape: Any) -> None:
        self.flow = Couplings(
            self.event_size, self.couplings, self.hidden_units, self.context_size, name="flow"
        )
        super().build(input_shape)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        if not self.built:
            self.build(params.shape)
        sizes = [self.event_size, self.event_size, self.context_size]
        loc, raw, context = tf.split(bound(tf.convert_to_tensor(params)), sizes, axis=-1)
        return NormalFlow(loc, MIN_SCALE + tf.math.softplus(raw), self.flow, context)

    def centred(self, stddev: np.ndarray) -> np.ndarray:
        context = np.zeros([self.context_size])
        return np.concatenate([np.zeros_like(stddev), raw_scale(stddev, MIN_SCALE), context])

    def sample(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tf.Tensor:
        return self.sample_and_log_prob(distribution, seed)[0]

    def sample_and_log_prob(
        self, distribution: tfd.Distribution, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        loc, scale = distribution.base.mean(), distribution.base.stddev()
        noise = tf.random.stateless_normal(tf.shape(loc), seed, alg="philox")  # works under XLA
        log_prob = -0.5 * (noise**2 + LOG_2_PI) - tf.math.log(scale)
        return distribution.transformed(loc + scale * noise, tf.reduce_sum(log_prob, axis=-1))

    def get_config(self) -> dict[str, Any]:
        own = {
            "event_size": self.event_size,
            "couplings": self.couplings,
            "hidden_units": self.hidden_units,
            "context_size": self.context_size,
        }
        return {**super().get_config(), **own}
