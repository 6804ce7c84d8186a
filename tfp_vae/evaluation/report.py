"""How good a trained model is, and what its latents hold. Every figure is in nats unless said."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from tfp_vae import objectives
from tfp_vae.errors import InputError
from tfp_vae.evaluation import codes
from tfp_vae.evaluation.aggregate import (
    is_diagonal,
    log_aggregate_posterior,
    log_determinants,
)
from tfp_vae.evaluation.figures import (
    ACTIVE_VARIANCE,
    Evaluation,
    bits_per_dimension,
    double,
    mean,
)
from tfp_vae.inference import batches, importance
from tfp_vae.inference.model import InferenceModel
from tfp_vae.inference.results import Posterior, kl_of_each_latent
from tfp_vae.saved_model.contract import Description


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
    if model.description.has_codes:
        return codes.evaluate(model, images, num_samples, batches.checked_seed(seed))
    posterior = model.posterior(images)
    draws = _draw(model, images, posterior, seed)
    log_likelihood = double(model.log_likelihood(images, draws.latents))
    variance = double(posterior.mean).var(axis=0)
    found: dict[str, Any] = {
        "num_images": count,
        "num_samples": num_samples,
        "seed": seed,
        "reconstruction_nll": mean(-log_likelihood),
        "mean_variance": variance,
        "active_units": int((variance > ACTIVE_VARIANCE).sum()),
        "latent_means": posterior.mean,
    }
    refused: dict[str, str] = {}
    if draws.log_posterior is None or model.no_density:
        fields = dataclasses.fields(Evaluation)
        present = (*found, "code_counts", "refused")
        names = [f.name for f in fields if f.name not in present]
        return Evaluation(**found, refused=dict.fromkeys(names, model.no_density or ""))

    log_prior = double(model.log_prior(draws.latents))
    monte_carlo_kl = objectives.monte_carlo_kl(draws.log_posterior, log_prior)
    exact = model.description.kl == "exact"
    kl = double(model.elbo(images, seed).kl) if exact else monte_carlo_kl
    terms = objectives.elbo(log_likelihood, kl)
    found |= {"elbo": mean(terms.elbo), "kl": mean(kl), "monte_carlo_kl": mean(monte_carlo_kl)}
    found |= _log_marginal(model, images, num_samples, seed, refused)
    found |= _aggregate(posterior, draws, log_prior, model, refused)
    found |= _per_dimension(posterior, model, refused)
    return Evaluation(**found, refused=refused)


def _draw(model: InferenceModel, images: Any, posterior: Posterior, seed: int) -> _Draws:
    """One draw for each image; of a Normal in float64, so that identities hold to rounding."""
    if posterior.scale_tril is not None:
        generator = np.random.default_rng(batches.checked_seed(seed))
        noise = generator.standard_normal(posterior.mean.shape)
        latents = posterior.mean + np.einsum("nij,nj->ni", double(posterior.scale_tril), noise)
        log_posterior = -0.5 * (noise**2 + objectives.LOG_2_PI).sum(axis=1)
        return _Draws(latents, log_posterior - log_determinants(posterior.scale_tril))
    if not model.description.has_density:
        return _Draws(double(posterior.mean), None)
    drawn = model.sample_posterior(images, seed)
    return _Draws(double(drawn.latent), double(drawn.log_posterior))


def _log_marginal(
    model: InferenceModel, images: Any, num_samples: int, seed: int, refused: dict[str, str]
) -> dict[str, Any]:
    """Log p(x), and bits per dimension where p(x|z) is a probability."""
    estimates = importance.estimate(model, images, num_samples=num_samples, seed=seed)
    log_marginal = estimates.log_marginal_likelihood
    return {
        "log_marginal_likelihood": mean(log_marginal),
        "monte_carlo_error": float(np.linalg.norm(estimates.standard_error) / len(log_marginal)),
        **bits_per_dimension(model, images, log_marginal, refused),
    }


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
    means = double(posterior.mean)
    log_aggregate = log_aggregate_posterior(draws.latents, means, posterior.scale_tril)
    return {
        "mutual_information": mean(draws.log_posterior - log_aggregate),
        "marginal_kl": mean(log_aggregate - log_prior),
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
    centre, stddev = double(posterior.mean), double(posterior.stddev)
    return {
        "kl_per_dimension": kl_of_each_latent(centre, stddev).mean(axis=0),
        "full_covariance": not is_diagonal(posterior.scale_tril),
    }


def _posterior(described: Description) -> str:
    """The posterior's family, in words."""
    given = " given the levels above" if described.model == "hierarchical" else ""
    return described.posterior + given
