"""Models: a posterior, a prior and a likelihood under one objective, trained by `fit`."""

from typing import Annotated, Literal

from annotated_types import Ge, Interval, Lt

from tfp_vae.layers import CORRUPTIONS, LIKELIHOODS, POSTERIORS
from tfp_vae.networks import NETWORKS
from tfp_vae.parts import Option, Part, Registry
from tfp_vae.priors import PRIORS

_NUM_SAMPLES = Option(
    Annotated[int, Ge(1), Lt(2**31)],
    1,
    "Draws from q(z|x) for each image and step.",
)
_FREE_BITS = Option(
    Annotated[float, Interval(ge=0, le=3e38)],
    0.0,
    "KL of each latent, on average over a batch, that the objective elbo does not penalise, nats.",
)

OBJECTIVES = Registry(
    "objective",
    "What is maximised: the ELBO, or the importance-weighted bound of several draws, by one of "
    "three estimators of its gradient.",
    {
        "elbo": Part(
            "tfp_vae.models.estimators:elbo",
            {"num_samples": _NUM_SAMPLES, "free_bits": _FREE_BITS},
        ),
        "iwae": Part("tfp_vae.models.estimators:iwae", {"num_samples": _NUM_SAMPLES}),
        "stl": Part("tfp_vae.models.estimators:stl", {"num_samples": _NUM_SAMPLES}),
        "dreg": Part("tfp_vae.models.estimators:dreg", {"num_samples": _NUM_SAMPLES}),
    },
)

_Numbers = tuple[Annotated[int, Interval(ge=1, lt=2**31)], ...]

_CODES = {
    "quantizer": Option(
        Literal["vector", "finite_scalar"],
        "vector",
        "What makes codes of feature maps: a codebook of vectors, or numbers that are rounded.",
    ),
    "codebook_size": Option(
        Annotated[int, Interval(ge=2, le=65536)],
        512,
        "Codes in the codebook, of each level; with finite_scalar a product of numbers up to 8.",
    ),
    "code_size": Option(
        Annotated[int, Interval(ge=1, le=65536)],
        64,
        "Dimensions of a code of the vector quantizer.",
    ),
    "prior_width": Option(
        Annotated[int, Interval(ge=4, le=65536)],
        128,
        "Channels of the prior of codes, a multiple of 32.",
    ),
    "prior_blocks": Option(
        Annotated[int, Interval(ge=1, le=1000)],
        4,
        "Blocks of attention in the prior of codes.",
    ),
}

MODELS = Registry(
    "model",
    "Graph of the latents: one vector, levels of them, each given those above it, or codes.",
    {
        "vae": Part("tfp_vae.models.vae:VAE"),
        "hierarchical": Part(
            "tfp_vae.models.hierarchical:HierarchicalVAE",
            {
                "groups": Option(
                    _Numbers,
                    (),
                    "Levels of latents at each resolution of a conv or resnet hierarchy, from the "
                    "smallest feature map up; by default 4, 3, 2, 1, 1, ...",
                ),
                "group_channels": Option(
                    _Numbers,
                    (),
                    "Channels of latents of such a level at each resolution; by default 4, 2, 2, "
                    "...",
                ),
            },
        ),
        "vq_vae": Part("tfp_vae.models.quantized:QuantizedVAE", _CODES),
        "vq_vae_2": Part("tfp_vae.models.quantized:QuantizedVAE2", _CODES),
    },
)

# Those whose latents are codes, with their number of levels.
MODELS_OF_CODES = {"vq_vae": 1, "vq_vae_2": 2}
# Settings that such a model does not have.
NOT_OF_CODES = (
    *("posterior", "prior", "latent_size", "free_bits", "beta"),
    *("kl_warmup_epochs", "kl_balance_epochs"),
)

# The posterior of a hierarchy of feature maps; POSTERIORS.default counts as not given there.
MAP_POSTERIOR = "independent_normal"

# Every kind of part that a model is built from, in the order of the flags.
PARTS = {
    registry.kind: registry
    for registry in (NETWORKS, MODELS, POSTERIORS, PRIORS, LIKELIHOODS, OBJECTIVES, CORRUPTIONS)
}
