"""How good a trained model is, and what its latents hold. Every figure is in nats unless said.

The prior is taken to be N(0, I), which `build_vae` makes.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from tfp_vae import batches, importance

ACTIVE_VARIANCE = 0.01  # Burda et al. (2016), section 2
BLOCK = 1000  # draws, and components, compared at once: what bounds the memory
LOG_2_PI = math.log(2.0 * math.pi)


class Mean(NamedTuple):
    """A mean over N images and its standard error, std / sqrt(N); nan for one image."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` finds; the fields a deterministic posterior has not are None.

    elbo = - reconstruction_nll - kl. With the Monte Carlo KL of the same draws in place of the
    closed form, it is - reconstruction_nll - mutual_information - marginal_kl.
    """

    num_images: int  # N, also the number of components in the mixture q(z)
    num_samples: int  # K
    seed: int
    reconstruction_nll: Mean  # - log p(x|z), at one draw of z for each image
    elbo: Mean | None
    kl: Mean | None  # of q(z|x) from the prior, in closed form
    log_marginal_likelihood: Mean | None  # log p(x) from K draws; its error is over images
    monte_carlo_error: float | None  # standard error of that mean for these images: of the draws
    bits_per_dimension: Mean | None  # bits; of a discrete likelihood only
    monte_carlo_kl: Mean | None  # mutual_information + marginal_kl
    mutual_information: Mean | None  # of x and z under q; at most log N
    marginal_kl: Mean | None  # of the aggregate posterior q(z) from the prior
    kl_per_dimension: np.ndarray | None  # [D], means over images of the marginals' KL
    full_covariance: bool | None  # whether kl_per_dimension leaves out what correlations add
    mean_variance: np.ndarray  # [D], variance over images of the posterior mean
    active_units: int  # dimensions whose mean_variance is above 0.01
    latent_means: np.ndarray  # [N, D]


def evaluate(model, images, num_samples=500, seed=0, discrete_likelihood=False):
    """Evaluates a trained model on images that it was not trained on.

    log p(x) is the importance-weighted bound of K draws (Burda et al., "Importance weighted
    autoencoders", 2016, as are active units); mutual information and marginal KL are those of
    Hoffman and Johnson, "ELBO surgery" (2016): the means of log q(z|x) - log q(z) and of
    log q(z) - log p(z) at one draw of z for each image, where q(z) is the even mixture of q(z|x)
    over the N images themselves. Memory does not grow with K, and grows with N linearly.

    Args:
      model: a `SavedVAE`, from `tfp_vae.load`.
      images: [N, H, W, C], N >= 1, floats in [0, 1] or uint8 0..255; zeros and ones only for a
        Bernoulli likelihood.
      num_samples: K.
      seed: 0..2147483647; decides all draws.
      discrete_likelihood: whether p(x|z) is a probability and no density, as Bernoulli's is:
        asks for bits_per_dimension, - log p(x) / (log 2 * H W C).

    Returns:
      An `Evaluation`.

    Raises:
      ValueError: images, num_samples or a seed of another shape, type or range.
    """
    images = batches.checked_images(images, model.image_shape)
    count = images.shape[0]
    if not count:
        raise ValueError("0 images: expected at least one")
    if num_samples < 1:
        raise ValueError(f"num_samples {num_samples}: expected an integer >= 1")
    posterior = model.posterior(images)
    means, noise = np.float64(posterior.mean), _noise(posterior.mean.shape, seed)
    latents = means + np.einsum("nij,nj->ni", np.float64(posterior.scale_tril), noise)
    nll = -np.float64(model.log_likelihood(images, latents))
    variance = means.var(axis=0)
    found = {
        "num_images": count,
        "num_samples": num_samples,
        "seed": seed,
        "reconstruction_nll": _mean(nll),
        "mean_variance": variance,
        "active_units": int((variance > ACTIVE_VARIANCE).sum()),
        "latent_means": posterior.mean,
    }
    if not np.diagonal(posterior.scale_tril, axis1=1, axis2=2).all():
        rest = {field.name for field in dataclasses.fields(Evaluation)} - set(found)
        return Evaluation(**found, **dict.fromkeys(rest))

    log_posterior = _log_determinants(posterior.scale_tril)
    log_posterior = -0.5 * (noise**2 + LOG_2_PI).sum(axis=1) - log_posterior
    log_prior = -0.5 * (latents**2 + LOG_2_PI).sum(axis=1)
    log_aggregate = log_aggregate_posterior(latents, means, posterior.scale_tril)
    kl = closed_form_kl(means, posterior.scale_tril)
    estimates = importance.estimate(model, images, num_samples=num_samples, seed=seed)
    log_marginal = estimates.log_marginal_likelihood
    bits = -log_marginal / (math.log(2.0) * math.prod(model.image_shape))
    return Evaluation(
        **found,
        elbo=_mean(-nll - kl),
        kl=_mean(kl),
        log_marginal_likelihood=_mean(log_marginal),
        monte_carlo_error=float(np.linalg.norm(estimates.standard_error) / count),
        bits_per_dimension=_mean(bits) if discrete_likelihood else None,
        monte_carlo_kl=_mean(log_posterior - log_prior),
        mutual_information=_mean(log_posterior - log_aggregate),
        marginal_kl=_mean(log_aggregate - log_prior),
        kl_per_dimension=_marginal_kl(means, np.float64(posterior.stddev)).mean(axis=0),
        full_covariance=not _is_diagonal(posterior.scale_tril),
    )


def _noise(shape, seed):
    return np.random.default_rng(batches.checked_seed(seed)).standard_normal(shape)


def _mean(values):
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(float(values.mean()), float(error))


def _log_determinants(scale_trils):
    return np.log(np.diagonal(scale_trils, axis1=1, axis2=2), dtype=np.float64).sum(axis=1)


def _is_diagonal(scale_trils):
    below = np.tril_indices(scale_trils.shape[1], -1)
    return not any(scale_trils[:, row, column].any() for row, column in zip(*below, strict=True))


def _marginal_kl(means, stddevs):
    """KL of N(mean, stddev^2) from N(0, 1), elementwise."""
    return 0.5 * (means**2 + stddevs**2 - 1.0) - np.log(stddevs)


def closed_form_kl(means, scale_trils):
    """KL of N normals, means [N, D] and factors [N, D, D] of covariances, from N(0, I): [N]."""
    squares = means**2 + np.einsum("nij,nij->ni", *[np.float64(scale_trils)] * 2)
    return 0.5 * (squares - 1.0).sum(axis=1) - _log_determinants(scale_trils)


def log_aggregate_posterior(latents, means, scale_trils):
    """The log q(z) of M latents under the even mixture of N normals.

    The square in each density, (z - m)' P (z - m), is expanded into z' P z - 2 z' P m + m' P m:
    a product of the matrix of the products of the coordinates of z with one of the precisions P,
    a block of both at a time. In float64, since the terms are much larger than their sum.

    Args:
      latents: [M, D].
      means: [N, D].
      scale_trils: [N, D, D], factors of the covariances.

    Returns:
      float64 [M], nats.
    """
    count, size = means.shape
    diagonal = _is_diagonal(scale_trils)
    rows, columns = np.diag_indices(size) if diagonal else np.triu_indices(size)
    twice = np.where(rows == columns, 1.0, 2.0)  # a pair off the diagonal stands for two
    totals = np.full(len(latents), -np.inf)
    with batches.progress_bar(len(latents) * count, "log q(z)") as bar:
        for first in range(0, count, BLOCK):
            block = slice(first, first + BLOCK)
            inverses = np.linalg.inv(np.float64(scale_trils[block]))
            precisions = np.swapaxes(inverses, 1, 2) @ inverses  # [B, D, D]
            linear = np.einsum("nij,nj->ni", precisions, means[block])
            weights = np.hstack([twice * precisions[:, rows, columns], -2.0 * linear])
            constants = (linear * means[block]).sum(axis=1) + size * LOG_2_PI
            constants += 2.0 * _log_determinants(scale_trils[block])
            for start in range(0, len(latents), BLOCK):
                z = latents[start : start + BLOCK]
                densities = np.hstack([z[:, rows] * z[:, columns], z]) @ weights.T
                densities += constants
                densities *= -0.5  # [block of latents, block of normals]
                total = totals[start : start + BLOCK]
                np.logaddexp(total, _log_sum_exp(densities), out=total)
                bar.update(densities.size)
    return totals - math.log(count)


def _log_sum_exp(values):
    """Over the last axis of a matrix, which it overwrites."""
    largest = values.max(axis=1)
    values -= largest[:, np.newaxis]
    return largest + np.log(np.exp(values, out=values).sum(axis=1))
