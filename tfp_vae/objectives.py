"""The bound on log p(x), written once over log p(x|z), log p(z) and log q(z|x), all in nats.

Training, the exported `elbo`, evaluation and importance weights all call these functions; they take
TensorFlow tensors or NumPy arrays. The KL of two distributions is in `tfp_vae.divergences`.
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

LOG_2_PI = math.log(2.0 * math.pi)

Nats = TypeVar("Nats", np.ndarray, tf.Tensor)  # [B], or any shape that broadcasts


class Elbo(NamedTuple):
    """The evidence lower bound and its two terms: elbo = - reconstruction_nll - kl. [B], nats."""

    elbo: Nats  # type: ignore[valid-type]
    reconstruction_nll: Nats  # type: ignore[valid-type]
    kl: Nats  # type: ignore[valid-type]


def elbo(log_likelihood: Nats, kl: Nats) -> Elbo:
    """Log p(x|z) - KL(q(z|x) || p(z)) (Kingma and Welling, 2014).

    Args:
      log_likelihood: log p(x|z) at a draw z from q(z|x), [B].
      kl: in closed form, or `monte_carlo_kl` at the same draw, [B].
    """
    return Elbo(log_likelihood - kl, -log_likelihood, kl)


def monte_carlo_kl(log_posterior: Nats, log_prior: Nats) -> Nats:
    """Log q(z|x) - log p(z): an unbiased estimate of the KL where z is a draw from q(z|x)."""
    return log_posterior - log_prior


def log_weight(log_likelihood: Nats, log_prior: Nats, log_posterior: Nats) -> Nats:
    """The log of the importance weight p(x|z) p(z) / q(z|x) of a draw z from q(z|x).

    Its expectation is the ELBO; the log of the mean of K weights is the importance-weighted bound
    (Burda et al., "Importance weighted autoencoders", 2016).
    """
    return elbo(log_likelihood, monte_carlo_kl(log_posterior, log_prior)).elbo


def importance_bound(log_weights: tf.Tensor) -> tf.Tensor:
    """The log 1/K sum_k w_k: the importance-weighted bound on log p(x) (Burda et al., 2016), nats.

    Args:
      log_weights: `log_weight` at K draws from q(z|x), [K, B].

    Returns:
      [B]. For K = 1 it is the ELBO at that draw; its expectation does not fall as K grows.
    """
    count = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(count)


def free_bits(
    kl_per_group: tf.Tensor, allowance: float | tf.Tensor, weight: float | tf.Tensor = 1.0
) -> tf.Tensor:
    """The KL in the loss where each group of latents has an allowance that costs nothing more.

    The weighted sum over the groups of max(allowance, mean of the group's KL over the batch)
    (Kingma et al., "Improved variational inference with inverse autoregressive flow", 2016): a
    group below its allowance has no gradient, so nothing draws its KL to zero.

    Args:
      kl_per_group: KL of each image and group, [B, G], nats. A group is a latent, or a level.
      allowance: lambda, a number or [G], nats.
      weight: of each group, a number or [G].

    Returns:
      A scalar. Under `tf.distribute` it compares the mean over the batches of all replicas with the
      allowance, and returns the replica's own part, whose mean over the replicas is the total.
    """
    of_replica = tf.reduce_mean(kl_per_group, axis=0)
    of_all = mean_of_replicas(of_replica, tf.shape(kl_per_group)[0])
    return tf.reduce_sum(weight * tf.where(of_all > allowance, of_replica, allowance))


def mean_of_replicas(of_replica: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """The mean over the global batch of `tf.distribute`, as a constant; 0 of no images.

    Args:
      of_replica: the mean over the replica's own images, any shape; of no images, any value.
      images: their number, a scalar; the last batch of an epoch may give the replicas unequal ones.
    """
    constant = tf.where(images > 0, tf.stop_gradient(of_replica), 0.0)
    context = tf.distribute.get_replica_context()  # None while a model is built
    if context is None or context.num_replicas_in_sync == 1:
        return constant
    count = tf.cast(images, tf.float32)
    return tf.math.divide_no_nan(*context.all_reduce("SUM", [count * constant, count]))
