"""Distribution layers: `tfp.layers`, repaired. Posteriors q(z|x) and likelihoods p(x|z)."""

from typing import Annotated, Literal

from annotated_types import Interval

from tfp_vae.parts import Option, Part, Registry

POSTERIORS = Registry(
    "posterior",
    "Family of q(z|x); `deterministic` is an autoencoder, with no KL.",
    {
        "multivariate_normal_tril": Part("tfp_vae.layers.posteriors:MultivariateNormalTriL"),
        "independent_normal": Part(
            "tfp_vae.layers.posteriors:independent_normal",
            {
                "posterior_scale": Option(
                    Literal["learned"] | Annotated[float, Interval(ge=1e-5, le=1e6)],
                    "learned",
                    "Standard deviation of an independent_normal posterior: learned, or a number.",
                )
            },
        ),
        "flow": Part("tfp_vae.layers.flow_posterior:FlowPosterior"),
        "deterministic": Part(
            "tfp_vae.layers.sparse:deterministic",
            {
                "sparsity": Option(
                    Annotated[float, Interval(ge=0, lt=1)],
                    0.0,
                    "Target mean activity of the sigmoid units of a sparse autoencoder; 0 for a "
                    "linear code.",
                ),
                "active_units": Option(
                    Annotated[int, Interval(ge=0, lt=2**31)],
                    0,
                    "Units of a k-sparse autoencoder that are not 0 for an image, the largest; 0 "
                    "for all.",
                ),
            },
        ),
    },
)

_SCALE = Option(
    Literal["shared", "per_pixel"] | Annotated[float, Interval(ge=1e-3, le=3e38)],
    "shared",
    "Scale of the pixels of a normal or logistic likelihood: one, fitted by maximum likelihood; "
    "one for each pixel; or a number.",
)

LIKELIHOODS = Registry(
    "likelihood",
    "Family of p(x|z). Bernoulli pixels are binarised: afresh in training, once for evaluation. "
    "`auto`: Bernoulli where nearly all pixels are near 0 or 1, else normal.",
    {
        "independent_bernoulli": Part("tfp_vae.layers.likelihoods:IndependentBernoulli"),
        "continuous_bernoulli": Part("tfp_vae.layers.likelihoods:IndependentContinuousBernoulli"),
        "independent_normal": Part(
            "tfp_vae.layers.likelihoods:independent_normal",
            {"likelihood_scale": _SCALE},
        ),
        "discretized_logistic": Part(
            "tfp_vae.layers.discretized_logistic:discretized_logistic",
            {"likelihood_scale": _SCALE},
        ),
    },
    auto=True,
)

_LEVEL = Option(
    Annotated[float, Interval(gt=0, le=1)],
    0.25,
    "Of a gaussian corruption the standard deviation of the noise, for pixels in [0, 1]; of the "
    "others the share of the pixels.",
)

CORRUPTIONS = Registry(
    "corruption",
    "Noise on the encoder's input in training, afresh in each step; the target is the clean image.",
    {
        "none": Part("tfp_vae.layers.corruption:none"),
        **{
            name: Part(f"tfp_vae.layers.corruption:{path}", {"corruption_level": _LEVEL})
            for name, path in (
                ("gaussian", "GaussianCorruption"),
                ("masking", "MaskingCorruption"),
                ("salt_and_pepper", "SaltAndPepperCorruption"),
            )
        },
    },
)
