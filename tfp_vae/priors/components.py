"""A mixture of K distributions over the latents, of any family."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution
from tfp_vae.divergences import as_multivariate_normal
from tfp_vae.objectives import LOG_2_PI


class ComponentMixture(OwnDistribution):
    """sum_k w_k p_k(z).

    `tfd.MixtureSameFamily` draws from every component for each draw, and compares each latent with
    each component in memory of B * K * D or, with full covariances, B * K * D * D numbers.

    Args:
      logits: the logarithms of the weights, up to a constant: [K].
      components: returns the p_k, as one distribution over [K, D].
      latent_size: D.
      chosen: indices [n] to the distribution over [n, D] of these components. None draws from all
        of them, as often as the one that is chosen most often: for equal weights.
    """

    def __init__(
        self,
        logits: Any,
        components: Callable[[], tfd.Distribution],
        latent_size: int,
        chosen: Callable[[tf.Tensor], tfd.Distribution] | None = None,
        name: str = "ComponentMixture",
    ) -> None:
        parameters = {
            "logits": logits,
            "components": components,
            "latent_size": latent_size,
            "chosen": chosen,
            "name": name,
        }
        super().__init__(parameters, reparameterized=False)
        self._logits, self._size = logits, latent_size
        self._components, self._chosen = components, chosen

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self._size])

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        components = self._components()
        normal = as_multivariate_normal(components)
        if normal is None:
            log_probs = components.log_prob(z[..., tf.newaxis, :])
        else:
            log_probs = normal_log_probs(normal, z)
        return tf.reduce_logsumexp(tf.nn.log_softmax(self._logits) + log_probs, axis=-1)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        of_components, of_draws = tfp.random.split_seed(seed, n=2)
        indices = tfd.Categorical(logits=self._logits).sample(n, seed=of_components)
        if self._chosen is not None:
            return self._chosen(indices).sample(seed=of_draws)
        count = self._logits.shape[0]
        counts = tf.cumsum(tf.one_hot(indices, count, dtype=tf.int32), exclusive=True)
        earlier = tf.gather(counts, indices, batch_dims=1)  # draws of the same component, [n]
        most = tf.reduce_max(tf.concat([earlier + 1, [0]], axis=0))
        draws = self._components().sample(most, seed=of_draws)  # [most, K, D]
        return tf.gather_nd(draws, tf.stack([earlier, indices], axis=1))

    def _mean(self) -> tf.Tensor:
        weights = tf.nn.softmax(self._logits)
        return tf.linalg.matvec(self._components().mean(), weights, transpose_a=True)


def normal_log_probs(normal: tfd.MultivariateNormalLinearOperator, z: tf.Tensor) -> tf.Tensor:
    """The log-density of each of K Normals at each latent, nats.

    Of diagonal Normals the square ((z - m) / s)^2 is expanded into terms of z^2 and z: one matrix
    product of all latents with all Normals. Of full ones |L^-1 z - L^-1 m|^2 is one too, whose
    result, [..., K, D], is squared: the terms of its expansion grow as the square of L^-1 and leave
    nothing of their sum where L is nearly singular. In float64, since the terms are larger than
    their sum.

    Args:
      normal: over [K, D].
      z: [..., D].

    Returns:
      float32 [..., K].
    """
    z, mean = tf.cast(z, tf.float64), tf.cast(normal.mean(), tf.float64)
    size = mean.shape[-1]
    if isinstance(normal, tfd.MultivariateNormalDiag):
        scale = tf.cast(normal.stddev(), tf.float64)
        linear = mean / scale**2
        terms = tf.concat([z**2, z], axis=-1)
        weights = tf.concat([1.0 / scale**2, -2.0 * linear], axis=-1)
        squares = tf.tensordot(terms, weights, axes=[[-1], [-1]])
        squares += tf.reduce_sum(linear * mean, axis=-1)
    else:
        factor = tf.cast(normal.scale.to_dense(), tf.float64)
        scale = tf.linalg.diag_part(factor)
        identity = tf.eye(size, batch_shape=tf.shape(factor)[:1], dtype=tf.float64)
        inverse = tf.linalg.triangular_solve(factor, identity)
        # One matrix product; XLA is slower with a tensordot.
        white = tf.matmul(
            tf.reshape(z, [-1, size]), tf.reshape(inverse, [-1, size]), transpose_b=True
        )
        white = tf.reshape(white, tf.concat([tf.shape(z)[:-1], tf.shape(mean)], axis=0))
        squares = tf.reduce_sum((white - tf.linalg.matvec(inverse, mean)) ** 2, axis=-1)
    constants = size * LOG_2_PI + 2.0 * tf.reduce_sum(tf.math.log(scale), axis=-1)
    return tf.cast(-0.5 * (squares + constants), tf.float32)
