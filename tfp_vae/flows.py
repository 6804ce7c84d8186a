"""Affine couplings, and the distribution of a Normal that they transform.

Dinh et al., "Density estimation using Real NVP" (2017). The prior `flow` and the posterior `flow`
share this code.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution
from tfp_vae.networks.blocks import build

MAX_LOG_SCALE = 2.0  # of one coupling: a factor of at most 7.4, so that no coupling overflows
MOMENT_PAIRS = 32  # antithetic pairs of fixed draws, whose mean and deviation are a flow's


class Coupling(tf_keras.layers.Layer):
    """z -> z * exp(s) + t on the latents that `mask` leaves out; s and t depend on the others.

    With its initial weights, s = t = 0: the identity.

    Args:
      mask: [D] of 0 and 1; 1 for the latents that stay and decide s and t.
      hidden_units: units of each of the two hidden layers.
      context_size: C, the length of the vector that s and t depend on too; 0 for none.
    """

    def __init__(
        self, mask: np.ndarray, hidden_units: int, context_size: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        dense = tf_keras.layers.Dense
        self.mask = np.asarray(mask, np.float32)
        size = len(self.mask)
        options = {"dtype": self.dtype_policy}
        self.of_latents = dense(hidden_units, name="of_latents", **options)
        self.of_context = None
        if context_size:
            self.of_context = dense(hidden_units, use_bias=False, name="of_context", **options)
        self.hidden = dense(hidden_units, "silu", name="hidden", **options)
        self.last = dense(2 * size, kernel_initializer="zeros", name="last", **options)
        with tf.name_scope(self.name):  # a .h5 of weights takes no two of one name in a layer
            build(self.of_latents, size)
            if self.of_context is not None:
                build(self.of_context, context_size)
            build(self.hidden, hidden_units)
            build(self.last, hidden_units)
        self.built = True

    def _scale_and_shift(
        self, z: tf.Tensor, context: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The s and t, [..., D]; both are 0 for the latents that stay."""
        hidden = self.of_latents(z * self.mask)
        if self.of_context is not None:
            hidden += self.of_context(context)  # broadcast: several draws have one context
        raw, shift = tf.split(self.last(self.hidden(tf.nn.silu(hidden))), 2, axis=-1)
        moved = 1.0 - self.mask
        return moved * MAX_LOG_SCALE * tf.tanh(raw / MAX_LOG_SCALE), moved * shift

    def forward(
        self, z: tf.Tensor, context: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The transformed latents [..., D], and the log-determinant of the Jacobian [...]."""
        log_scale, shift = self._scale_and_shift(z, context)
        return z * tf.exp(log_scale) + shift, tf.reduce_sum(log_scale, axis=-1)

    def inverse(
        self, z: tf.Tensor, context: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What `forward` takes to `z`, and the log-determinant of `forward` there."""
        log_scale, shift = self._scale_and_shift(z, context)
        return (z - shift) * tf.exp(-log_scale), tf.reduce_sum(log_scale, axis=-1)


class Couplings(tf_keras.layers.Layer):
    """Couplings one after another, the even and the odd latents in turn.

    Args:
      latent_size: D.
      count: how many.
      hidden_units: as `Coupling` takes it.
      context_size: likewise.
    """

    def __init__(
        self,
        latent_size: int,
        count: int,
        hidden_units: int,
        context_size: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.couplings = [
            Coupling(
                (np.arange(latent_size) + number) % 2,
                hidden_units,
                context_size,
                dtype="float32",
                name=f"coupling_{number}",
            )
            for number in range(count)
        ]
        self.built = True

    def forward(
        self, z: tf.Tensor, context: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Coupling.forward`, through all of them."""
        total = tf.zeros([])
        for coupling in self.couplings:
            z, log_determinant = coupling.forward(z, context)
            total += log_determinant
        return z, total

    def inverse(
        self, z: tf.Tensor, context: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As `Coupling.inverse`, through all of them."""
        total = tf.zeros([])
        for coupling in reversed(self.couplings):
            z, log_determinant = coupling.inverse(z, context)
            total += log_determinant
        return z, total


class NormalFlow(OwnDistribution):
    """The distribution of f(x) for x from a Normal with a diagonal covariance, f being couplings.

    log p(z) = log N(x) - log |det df/dx| at x = f^-1(z). At the last draw of the distribution, it
    is what the forward pass has computed: the couplings are not inverted.

    A flow has no closed form of its mean and standard deviation. `mean` and `stddev` are those of
    `2 * MOMENT_PAIRS` draws that never change, scaled so that of a Normal, and of any flow that is
    affine, they are exact.

    Args:
      loc: mean of x, [..., D].
      scale: its standard deviation, of the same shape.
      couplings: f.
      context: what f depends on, [..., C]; None for a flow without.
    """

    def __init__(
        self,
        loc: Any,
        scale: Any,
        couplings: Couplings,
        context: tf.Tensor | None = None,
        name: str = "NormalFlow",
    ) -> None:
        parameters = {
            "loc": loc,
            "scale": scale,
            "couplings": couplings,
            "context": context,
            "name": name,
        }
        super().__init__(parameters, reparameterized=True)
        self.base = tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)
        self._couplings, self._context = couplings, context
        self._draw = self._log_prob_of_draw = None

    def _batch_shape(self) -> tf.TensorShape:
        return self.base.batch_shape

    def _batch_shape_tensor(self) -> tf.Tensor:
        return self.base.batch_shape_tensor()

    def _event_shape(self) -> tf.TensorShape:
        return self.base.event_shape

    def transformed(self, x: tf.Tensor, log_prob: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x) and its log-density, from a draw `x` [..., D] of `base` and its log-density."""
        z, log_determinant = self._couplings.forward(x, self._context)
        self._draw, self._log_prob_of_draw = z, log_prob - log_determinant
        return self._draw, self._log_prob_of_draw

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return self._sample_and_log_prob([n], seed)[0]

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x = self.base.sample(sample_shape, seed=seed)
        return self.transformed(x, self.base.log_prob(x))

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        if z is self._draw:
            return self._log_prob_of_draw
        x, log_determinant = self._couplings.inverse(z, self._context)
        return self.base.log_prob(x) - log_determinant

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance [..., D]."""
        loc, scale = self.base.mean(), self.base.stddev()
        noise = _standard_draws(loc.shape[-1])
        shape = [*noise.shape[:2], *[1] * (loc.shape.rank - 1), loc.shape[-1]]
        x = loc + scale * tf.reshape(tf.constant(noise), shape)  # [2, M, ..., D]
        centre, _ = self._couplings.forward(loc, self._context)
        distance = self._couplings.forward(x, self._context)[0] - centre
        # Each pair first: where f is affine, its sum is 0 without rounding errors.
        mean = tf.reduce_mean(tf.reduce_mean(distance, axis=0), axis=0)
        return centre + mean, tf.reduce_mean((distance - mean) ** 2, axis=[0, 1])

    def _mean(self) -> tf.Tensor:
        return self._moments()[0]

    def _variance(self) -> tf.Tensor:
        return self._moments()[1]

    def _stddev(self) -> tf.Tensor:
        return tf.sqrt(self._moments()[1])


def _standard_draws(size: int) -> np.ndarray:
    """Draws from N(0, I), in pairs of opposite signs, each latent with variance 1: [2, M, D]."""
    noise = np.random.default_rng(0).standard_normal((MOMENT_PAIRS, size))
    noise /= np.sqrt(np.mean(noise**2, axis=0))
    return np.stack([noise, -noise]).astype(np.float32)
