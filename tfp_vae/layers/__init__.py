"""Distribution layers: `tfp.layers`, repaired. Posteriors q(z|x) and likelihoods p(x|z)."""

from typing import Annotated, Literal

from annotated_types import Interval

from tfp_vae.parts import Option, Part, Registry

POSTERIORS = Registry(
    "posterior",
    "Family of q(z|x); `deterministic` is a plain autoencoder, with no KL.",
    {
        "multivariate_normal_tril": Part("tfp_vae.layers.posteriors:MultivariateNormalTriL"),
        "independent_normal": Part("tfp_vae.layers.posteriors:IndependentNormal"),
        "deterministic": Part("tfp_vae.layers.posteriors:Deterministic"),
    },
)

LIKELIHOODS = Registry(
    "likelihood",
    "Family of p(x|z). Bernoulli pixels are binarised: afresh in training, once for evaluation.",
    {
        "independent_bernoulli": Part("tfp_vae.layers.likelihoods:IndependentBernoulli"),
        "continuous_bernoulli": Part("tfp_vae.layers.likelihoods:IndependentContinuousBernoulli"),
        "independent_normal": Part(
            "tfp_vae.layers.likelihoods:independent_normal",
            {
                "likelihood_scale": Option(
                    Literal["shared", "per_pixel"] | Annotated[float, Interval(ge=1e-3, le=3e38)],
                    "shared",
                    "Standard deviation of a normal likelihood: one learned, one for each pixel, "
                    "or a number.",
                )
            },
        ),
    },
)
