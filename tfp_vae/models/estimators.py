"""The objectives over K draws from q(z|x), each with its estimator of the gradient.

The importance weight of a draw is w = p(x|z) (p(z) / q(z|x))^beta, and `iwae`, `stl` and `dreg`
minimise -log 1/K sum_k w_k: for beta = 1, minus the bound of Burda et al. (2016). They differ in
the gradient of the posterior's parameters alone; those of the decoder and the prior have the
normalised weights v_k = w_k / sum_j w_j.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_vae import objectives
from tfp_vae.layers.base import Draws


class Densities(NamedTuple):
    """Log-densities at K draws for each of B images, [K, B] each, nats, float32."""

    likelihood: tfd.Distribution
    """p(x|z) of every draw, with the batch shape [K * B]."""
    log_likelihood: tf.Tensor
    log_prior: tf.Tensor
    log_posterior: tf.Tensor

    def log_weights(self, beta: float | tf.Tensor = 1.0) -> tf.Tensor:
        """The log w = log p(x|z) + beta (log p(z) - log q(z|x)), [K, B], nats."""
        kl = objectives.monte_carlo_kl(self.log_posterior, self.log_prior)
        return self.log_likelihood - beta * kl


class Estimate(NamedTuple):
    """What an objective makes of the draws."""

    densities: Densities
    loss: tf.Tensor | None
    """[B], nats; None for the loss given to `compile` plus the penalty of the KL regularizer."""


# Latents [K, B, D] and log q(z|x) there [K, B], to the densities: it runs the decoder.
DensitiesAt = Callable[[tf.Tensor, tf.Tensor], Densities]


def elbo(draws: Draws, densities_at: DensitiesAt, beta: tf.Tensor) -> Estimate:
    """The ELBO, with log p(x|z) averaged over the draws."""
    return Estimate(densities_at(draws.latents, draws.log_posterior), None)


def iwae(draws: Draws, densities_at: DensitiesAt, beta: tf.Tensor) -> Estimate:
    """Burda et al., "Importance weighted autoencoders" (2016): the gradient of the bound itself."""
    return _weighted(densities_at(draws.latents, draws.log_posterior), beta)


def stl(draws: Draws, densities_at: DensitiesAt, beta: tf.Tensor) -> Estimate:
    """Roeder et al., "Sticking the landing" (2017): log q(z|x) has a gradient through z alone.

    The gradient has no variance where q(z|x) is exact. For K = 1 its mean is that of `iwae`; for
    more draws it is not (Tucker et al., 2019).
    """
    log_posterior = log_prob_of_point(draws, draws.latents)
    return _weighted(densities_at(draws.latents, log_posterior), beta)


def dreg(draws: Draws, densities_at: DensitiesAt, beta: tf.Tensor) -> Estimate:
    """Tucker et al., "Doubly reparameterized gradient estimators" (2019).

    The mean of the gradient is that of `iwae`, with less variance. log q(z|x) has a gradient
    through z alone, and the gradient that reaches the posterior through z_k has the weight v_k^2
    in place of v_k. For another beta than 1 the same derivation, where the score of q enters beta
    times, gives (1 - beta) v_k + beta v_k^2.
    """
    factor = GradientFactor()
    latents = factor(draws.latents)
    densities = densities_at(latents, log_prob_of_point(draws, latents))
    normalised = tf.nn.softmax(densities.log_weights(beta), axis=0)
    factor.value = (1.0 - beta) + beta * tf.stop_gradient(normalised)  # of v_k, which is there
    return _weighted(densities, beta)


def _weighted(densities: Densities, beta: tf.Tensor) -> Estimate:
    return Estimate(densities, -objectives.importance_bound(densities.log_weights(beta)))


def log_prob_of_point(draws: Draws, latents: tf.Tensor) -> tf.Tensor:
    """The log q(z|x) with a gradient through z alone: [K, B], nats.

    It stops every other path, whichever tensors and weights q(z|x) depends on: the value is that at
    a constant point, the gradient by z is computed here.

    Args:
      draws: from q(z|x).
      latents: the same draws, [K, B, D].
    """
    point = tf.stop_gradient(latents)  # a new tensor: a flow would remember where it drew the old
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        value = draws.log_prob(point)
    slope = tf.stop_gradient(tape.gradient(value, point))
    moved = tf.reduce_sum(slope * (latents - point), axis=-1)  # 0, with the gradient `slope`
    return tf.stop_gradient(value) + moved


class GradientFactor:
    """The identity of latents [K, B, D], with a gradient that is multiplied by `value`.

    Attributes:
      value: [K, B], to be set before the gradient is taken: it depends on what the decoder makes of
        the latents.
    """

    value: tf.Tensor

    def __call__(self, latents: tf.Tensor) -> tf.Tensor:
        @tf.custom_gradient
        def identity(latents: tf.Tensor) -> Any:
            return tf.identity(latents), lambda upstream: upstream * self.value[..., tf.newaxis]

        return identity(latents)
