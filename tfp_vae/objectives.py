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
