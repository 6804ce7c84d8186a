"""Models: a posterior, a prior and a likelihood under one objective, trained by `fit`."""

from tfp_vae.layers import LIKELIHOODS, POSTERIORS
from tfp_vae.networks import NETWORKS
from tfp_vae.priors import PRIORS

# Every kind of part that a model is built from, in the order of the flags.
PARTS = {registry.kind: registry for registry in (NETWORKS, POSTERIORS, PRIORS, LIKELIHOODS)}
