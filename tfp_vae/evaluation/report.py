"""How good a trained model is, and what its latents hold. Every figure is in nats unless said."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from tfp_vae import objectives
from tfp_vae.errors import InputError
from tfp_vae.evaluation.aggregate import (
    is_diagonal,
    log_aggregate_posterior,
    log_determinants,
)
from tfp_vae.inference import batches, importance
from tfp_vae.inference.model import InferenceModel
from tfp_vae.inference.results import Posterior
from tfp_vae.saved_model.contract import Description

ACTIVE_VARIANCE = 0.01  # Burda et al. (2016), section 2


class Mean(NamedTuple):
    """A mean over N images and its standard error, std / sqrt(N); nan for one image."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` finds; a field that the model's family does not have is None.

    elbo = - reconstruction_nll - kl, and monte_carlo_kl = mutual_information + marginal_kl.
    """

    num_images: int  # N, also the number of components in the mixture q(z)
    num_samples: int  # K
    seed: int
    reconstruction_nll: Mean  # - log p(x|z), at one draw of z for each image
    elbo: Mean | None = None
    kl: Mean | None = None  # of q(z|x) from the prior, in the form of the model's description
    log_marginal_likelihood: Mean | None = None  # log p(x) from K draws; its error is over images
    monte_carlo_error: float | None = None  # standard error due to the draws; nan for K = 1
    bits_per_dimension: Mean | None = None  # bits; of a likelihood that is a probability
    monte_carlo_kl: Mean | None = None  # log q(z|x) - log p(z) at the draws of reconstruction_nll
    mutual_information: Mean | None = None  # of x and z under q; at most log N
    marginal_kl: Mean | None = None  # of the aggregate posterior q(z) from the prior
    kl_per_dimension: np.ndarray | None = None  # [D], means over images of the marginals' KL
    full_covariance: bool | None = None  # whether kl_per_dimension omits what correlations add
    mean_variance: np.ndarray  # [D], variance over images of the posterior mean
    active_units: int  # dimensions whose mean_variance is above 0.01
    latent_means: np.ndarray  # [N, D]
    refused: dict[str, str]  # the name of each field that is None -> why


class _Draws(NamedTuple):
    """One draw z from q(z|x) for each of N images, float64."""

    latents: np.ndarray  # [N, D]
    log_posterior: np.ndarray | None  # [N], log q(z|x); None without a density


def evaluate(
    model: InferenceModel, images: Any, num_samples: int = 500, seed: int = 0
) -> Evaluation:
    """Evaluates a trained model on images that it was not trained on.

    log p(x) is the importance-weighted bound of K draws (Burda et al., "Importance weighted
    autoencoders", 2016, as are active units); mutual information and marginal KL are those of
    Hoffman and Johnson, "ELBO surgery" (2016): the means of log q(z|x) - log q(z) and of
    log q(z) - log p(z) at one draw of z for each image, where q(z) is the even mixture of q(z|x)
    over the N images themselves. Memory does not grow with K, and grows with N linearly.

    Every density is the model's own. Formulas for Normals are used where the model's description
    says that the posterior is Normal (q(z)) and the prior N(0, I) (the KL of each dimension); for
    other families those figures are None, and `refused` says why.

    Args:
      model: from `tfp_vae.load` or `tfp_vae.inference_model`.
      images: [N, H, W, C], N >= 1, floats in [0, 1] or uint8 0..255; zeros and ones only for a
        Bernoulli likelihood.
      num_samples: K.
      seed: 0..2147483647; decides all draws.

    Raises:
      InputError: (a ValueError) images, num_samples or a seed of another shape, type or range.
    """
    images = batches.checked_images(images, model.image_shape)
    count = images.shape[0]
    if not count:
        raise InputError("0 images: expected at least one")
    num_samples = batches.checked_count("num_samples", num_samples, least=1)
    posterior = model.posterior(images)
    draws = _draw(model, images, posterior, seed)
    log_likelihood = _double(model.log_likelihood(images, draws.latents))
    variance = _double(posterior.mean).var(axis=0)
    found: dict[str, Any] = {
        "num_images": count,
        "num_samples": num_samples,
        "seed": seed,
        "reconstruction_nll": _mean(-log_likelihood),
        "mean_variance": variance,
        "active_units": int((variance > ACTIVE_VARIANCE).sum()),
        "latent_means": posterior.mean,
    }
    refused: dict[str, str] = {}
    if draws.log_posterior is None or model.no_density:
        fields = dataclasses.fields(Evaluation)
        names = [f.name for f in fields if f.name not in found and f.name != "refused"]
        return Evaluation(**found, refused=dict.fromkeys(names, model.no_density or ""))

    log_prior = _double(model.log_prior(draws.latents))
    monte_carlo_kl = objectives.monte_carlo_kl(draws.log_posterior, log_prior)
    exact = model.description.kl == "exact"
    kl = _double(model.elbo(images, seed).kl) if exact else monte_carlo_kl
    terms = objectives.elbo(log_likelihood, kl)
    found |= {"elbo": _mean(terms.elbo), "kl": _mean(kl), "monte_carlo_kl": _mean(monte_carlo_kl)}
    found |= _log_marginal(model, images, num_samples, seed, refused)
    found |= _aggregate(posterior, draws, log_prior, model, refused)
    found |= _per_dimension(posterior, model, refused)
    return Evaluation(**found, refused=refused)


def _draw(model: InferenceModel, images: Any, posterior: Posterior, seed: int) -> _Draws:
    """One draw for each image; of a Normal in float64, so that identities hold to rounding."""
    if posterior.scale_tril is not None:
        generator = np.random.default_rng(batches.checked_seed(seed))
        noise = generator.standard_normal(posterior.mean.shape)
        latents = posterior.mean + np.einsum("nij,nj->ni", _double(posterior.scale_tril), noise)
        log_posterior = -0.5 * (noise**2 + objectives.LOG_2_PI).sum(axis=1)
        return _Draws(latents, log_posterior - log_determinants(posterior.scale_tril))
    if not model.description.has_density:
        return _Draws(_double(posterior.mean), None)
    drawn = model.sample_posterior(images, seed)
    return _Draws(_double(drawn.latent), _double(drawn.log_posterior))


def _log_marginal(
    model: InferenceModel, images: Any, num_samples: int, seed: int, refused: dict[str, str]
) -> dict[str, Any]:
    """Log p(x), and bits per dimension where p(x|z) is a probability."""
    estimates = importance.estimate(model, images, num_samples=num_samples, seed=seed)
    log_marginal = estimates.log_marginal_likelihood
    found: dict[str, Any] = {
        "log_marginal_likelihood": _mean(log_marginal),
        "monte_carlo_error": float(np.linalg.norm(estimates.standard_error) / len(log_marginal)),
    }
    kind = model.description.log_likelihood
    if kind == "probability" and not _are_binary(model, images):
        refused["bits_per_dimension"] = (
            "p(x|z) is a probability of images of zeros and ones only, and these have grey levels"
        )
    elif kind == "probability":
        bits = -log_marginal / (math.log(2.0) * math.prod(model.image_shape))
        found["bits_per_dimension"] = _mean(bits)
    elif kind == "density":
        refused["bits_per_dimension"] = "the likelihood is a density, not a probability"
    else:
        refused["bits_per_dimension"] = (
            "version 0.1.0 does not say whether the likelihood is a probability: export it again"
        )
    return found


def _are_binary(model: InferenceModel, images: Any) -> bool:
    """False for grey levels under a Bernoulli likelihood, whose formula is then no probability."""
    if model.description.likelihood != "independent_bernoulli":
        return True
    starts = range(0, images.shape[0], batches.BATCH)
    blocks = (batches.floats(images[start : start + batches.BATCH]) for start in starts)
    return all(np.isin(block, (0.0, 1.0)).all() for block in blocks)


def _aggregate(
    posterior: Posterior,
    draws: _Draws,
    log_prior: np.ndarray,
    model: InferenceModel,
    refused: dict[str, str],
) -> dict[str, Any]:
    """Mutual information and marginal KL, from the density of q(z) at the draws."""
    if posterior.scale_tril is None:
        why = f"the posterior is {_posterior(model.description)}: q(z) needs a Normal one"
        refused |= {"mutual_information": why, "marginal_kl": why}
        return {}
    means = _double(posterior.mean)
    log_aggregate = log_aggregate_posterior(draws.latents, means, posterior.scale_tril)
    return {
        "mutual_information": _mean(draws.log_posterior - log_aggregate),
        "marginal_kl": _mean(log_aggregate - log_prior),
    }


def _per_dimension(
    posterior: Posterior, model: InferenceModel, refused: dict[str, str]
) -> dict[str, Any]:
    """KL of N(mean, stddev^2) from N(0, 1) in each dimension."""
    described = model.description
    if posterior.scale_tril is None or not described.prior_is_standard_normal:
        why = (
            f"the posterior is {_posterior(described)}, the prior {described.prior}: the KL of one "
            "dimension needs a Normal posterior and a standard normal prior"
        )
        refused |= {"kl_per_dimension": why, "full_covariance": why}
        return {}
    mean, stddev = _double(posterior.mean), _double(posterior.stddev)
    kl = 0.5 * (mean**2 + stddev**2 - 1.0) - np.log(stddev)
    return {
        "kl_per_dimension": kl.mean(axis=0),
        "full_covariance": not is_diagonal(posterior.scale_tril),
    }


def _posterior(described: Description) -> str:
    """The posterior's family, in words."""
    given = " given the levels above" if described.model == "hierarchical" else ""
    return described.posterior + given


def _double(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64)


def _mean(values: np.ndarray) -> Mean:
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(float(values.mean()), float(error))
