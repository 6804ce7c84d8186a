"""Priors p(z): Keras layers that return a `tfd.Distribution` over one latent."""

from tfp_vae.parts import Part, Registry

PRIORS = Registry(
    "prior",
    "Family of p(z).",
    {
        "standard_normal": Part("tfp_vae.priors.standard_normal:StandardNormal"),
    },
)
