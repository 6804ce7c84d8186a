"""Every part of the package by name: a part added there is tested here without another word."""

import itertools

import tfp_vae
from tfp_vae.likelihoods import LIKELIHOODS
from tfp_vae.networks import NETWORKS
from tfp_vae.posteriors import POSTERIORS

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
    vae = tfp_vae.build_vae(image_shape, latent_size, hidden_units=(20,), seed=1, **options)
    vae.compile("adam")
    return vae
