"""Priors p(z): Keras layers that return a `tfd.Distribution` over one latent."""

from typing import Annotated

from annotated_types import Interval

from tfp_vae.parts import Option, Part, Registry

_COMPONENTS = Option(
    Annotated[int, Interval(ge=1, lt=2**31)],
    100,
    "Components of a mixture or vamp prior.",
)

PRIORS = Registry(
    "prior",
    "Family of p(z): fixed, or learned with the model.",
    {
        "standard_normal": Part("tfp_vae.priors.standard_normal:StandardNormal"),
        "mixture": Part("tfp_vae.priors.mixture:MixturePrior", {"prior_components": _COMPONENTS}),
        "vamp": Part("tfp_vae.priors.vamp:VampPrior", {"prior_components": _COMPONENTS}),
        "flow": Part("tfp_vae.priors.flow:FlowPrior"),
    },
)
