"""Models: a posterior, a prior and a likelihood under one objective, trained by `fit`."""

from typing import Annotated

from annotated_types import Interval

from tfp_vae.layers import LIKELIHOODS, POSTERIORS
from tfp_vae.networks import NETWORKS
from tfp_vae.parts import Option, Part, Registry
from tfp_vae.priors import PRIORS

_Numbers = tuple[Annotated[int, Interval(ge=1, lt=2**31)], ...]

MODELS = Registry(
    "model",
    "Graph of the latents: one vector, or levels of them, each given those above it.",
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
    },
)

# The posterior of a hierarchy of feature maps; POSTERIORS.default counts as not given there.
MAP_POSTERIOR = "independent_normal"

# Every kind of part that a model is built from, in the order of the flags.
PARTS = {
    registry.kind: registry for registry in (MODELS, NETWORKS, POSTERIORS, PRIORS, LIKELIHOODS)
}
