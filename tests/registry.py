"""Every part of the package by name: a part added there is tested here without another word."""

import itertools

import numpy as np
import tensorflow_probability as tfp

import tfp_vae
from tfp_vae.likelihoods import LIKELIHOODS
from tfp_vae.networks import NETWORKS
from tfp_vae.posteriors import POSTERIORS

tfd = tfp.distributions

NORMAL_SCALES = ("shared", "per_pixel", 0.5)
LIKELIHOOD_OPTIONS = [
    {"likelihood": name, "likelihood_scale": scale}
    for name in LIKELIHOODS
    for scale in (NORMAL_SCALES if name == "independent_normal" else ("shared",))
]
WITH_KL = [name for name in POSTERIORS if name != "deterministic"]
EVERY_COMBINATION = [
    {"posterior": posterior, "network": network, **likelihood}
    for posterior, network, likelihood in itertools.product(
        POSTERIORS, NETWORKS, LIKELIHOOD_OPTIONS
    )
]


def name_of(options):
    return "-".join(str(value) for value in options.values())


def small_vae(image_shape=(8, 9, 1), latent_size=4, **options):
    """A compiled model that trains in a second."""
    if options.get("network", "dense") == "dense":
        options = {"hidden_units": (20,), **options}
    vae = tfp_vae.build_vae(image_shape, latent_size, seed=1, **options)
    vae.compile("adam")
    return vae


def closed_form_kl(posterior):
    """KL from N(0, I) of each row in float64 NumPy, from mean and covariance."""
    mean = posterior.mean().numpy().astype(np.float64)
    if isinstance(posterior.tensor_distribution, tfd.MultivariateNormalTriL):
        covariance = posterior.covariance().numpy().astype(np.float64)
    else:
        covariance = np.stack([np.diag(v) for v in posterior.variance().numpy().astype(np.float64)])
    trace = np.trace(covariance, axis1=1, axis2=2)
    return 0.5 * (trace + (mean**2).sum(1) - mean.shape[1] - np.linalg.slogdet(covariance)[1])
