"""What the methods of an `InferenceModel` return."""

from typing import NamedTuple

import numpy as np


class Posterior(NamedTuple):
    """q(z|x) of N images."""

    mean: np.ndarray  # [N, D]
    stddev: np.ndarray  # [N, D]
    # Of a Normal: lower triangular [N, D, D], covariance = scale_tril @ its transpose.
    scale_tril: np.ndarray | None


class PriorSample(NamedTuple):
    """N draws from the prior and what they decode to."""

    image: np.ndarray  # [N, H, W, C]
    latent: np.ndarray  # [N, D]


class PosteriorSample(NamedTuple):
    """One draw from q(z|x) for each of N images."""

    latent: np.ndarray  # [N, D]
    log_posterior: np.ndarray  # [N], log q(z|x) at that draw, nats


def kl_of_each_latent(mean: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    """KL of N(mean, stddev^2) from N(0, 1), nats: [N, D], of means and deviations [N, D]."""
    return 0.5 * (mean**2 + stddev**2 - 1.0) - np.log(stddev)
