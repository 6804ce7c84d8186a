"""The evaluation of a model whose latents are codes."""

from typing import Any

import numpy as np

from tfp_vae import objectives
from tfp_vae.evaluation.figures import Evaluation, bits_per_dimension, double, mean
from tfp_vae.inference.model import InferenceModel


def evaluate(model: InferenceModel, images: Any, num_samples: int, seed: int) -> Evaluation:
    """The `Evaluation` of a model whose latents are codes."""
    codes = model.encode(images)
    terms = objectives.Elbo(*map(double, model.elbo(images, seed)))
    refused = dict.fromkeys(
        ("log_marginal_likelihood", "monte_carlo_error"),
        "an image has one code, so that K draws give the ELBO",
    )
    names = ["monte_carlo_kl", "mutual_information", "marginal_kl", "kl_per_dimension"]
    names += ["full_covariance", "mean_variance", "active_units"]
    refused |= dict.fromkeys(names, "latents are codes, which have no moments")
    described = model.description
    levels = dict.fromkeys(described.latent_levels)
    by_level = [codes[:, np.equal(described.latent_levels, level)] for level in levels]
    return Evaluation(
        num_images=len(codes),
        num_samples=num_samples,
        seed=seed,
        reconstruction_nll=mean(terms.reconstruction_nll),
        elbo=mean(terms.elbo),
        kl=mean(terms.kl),
        code_counts=np.stack(
            [np.bincount(part.ravel(), minlength=described.codebook_size or 0) for part in by_level]
        ),
        latent_means=model.vectors(codes),
        refused=refused,
        **bits_per_dimension(model, images, terms.elbo, refused),
    )


def perplexity(counts: np.ndarray) -> float:
    """Exp of the entropy of codes that occur `counts` [K] times: K where all occur alike."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))
