"""The figures of an evaluation, and how a mean over images is written."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from tfp_vae.inference import batches
from tfp_vae.inference.model import InferenceModel

ACTIVE_VARIANCE = 0.01  # Burda et al. (2016), section 2


class Mean(NamedTuple):
    """A mean over N images and its standard error, std / sqrt(N); nan for one image."""

    value: float
    standard_error: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` finds; a field that the model's family does not have is None.

    elbo = - reconstruction_nll - kl, and monte_carlo_kl = mutual_information + marginal_kl.
    """

    num_images: int
    """N, also the number of components in the mixture q(z)."""
    num_samples: int
    """K."""
    seed: int
    """Of the draws."""
    reconstruction_nll: Mean
    """-log p(x|z), at one draw of z for each image, nats."""
    elbo: Mean | None = None
    """Nats."""
    kl: Mean | None = None
    """Of q(z|x) from the prior, in the form of the model's description, nats."""
    log_marginal_likelihood: Mean | None = None
    """Log p(x) from K draws, nats; its error is over images."""
    monte_carlo_error: float | None = None
    """The standard error of log p(x) due to the draws, nats; nan for K = 1."""
    bits_per_dimension: Mean | None = None
    """-log p(x), for codes -ELBO, of a likelihood that is a probability, bits."""
    monte_carlo_kl: Mean | None = None
    """Log q(z|x) - log p(z) at the draws of `reconstruction_nll`, nats."""
    mutual_information: Mean | None = None
    """Of x and z under q, nats; at most log N."""
    marginal_kl: Mean | None = None
    """Of the aggregate posterior q(z) from the prior, nats."""
    kl_per_dimension: np.ndarray | None = None
    """[D], means over images of the KL of the marginals, nats."""
    full_covariance: bool | None = None
    """Whether `kl_per_dimension` omits what correlations add."""
    mean_variance: np.ndarray | None = None
    """[D], variance over images of the posterior mean."""
    active_units: int | None = None
    """Dimensions whose `mean_variance` is above 0.01."""
    code_counts: np.ndarray | None = None
    """[L, K]: uses of each code, a row a level, the top first."""
    latent_means: np.ndarray
    """[N, D]; of codes their vectors, [N, D * C]."""
    refused: dict[str, str]
    """The name of each field that is None -> why, but for `code_counts`."""


def bits_per_dimension(
    model: InferenceModel, images: Any, log_marginal: np.ndarray, refused: dict[str, str]
) -> dict[str, Any]:
    """The field of that name, from bounds on log p(x) [N] in nats.

    Where p(x|z) is no probability of these images, it says why in `refused`, and returns nothing.
    """
    kind = model.description.log_likelihood
    if kind == "probability" and not _are_binary(model, images):
        refused["bits_per_dimension"] = (
            "p(x|z) is a probability of images of zeros and ones only, and these have grey levels"
        )
    elif kind == "probability":
        bits = -log_marginal / (math.log(2.0) * math.prod(model.image_shape))
        return {"bits_per_dimension": mean(bits)}
    elif kind == "density":
        refused["bits_per_dimension"] = "the likelihood is a density, not a probability"
    else:
        refused["bits_per_dimension"] = (
            "version 0.1.0 does not say whether the likelihood is a probability: export it again"
        )
    return {}


def _are_binary(model: InferenceModel, images: Any) -> bool:
    """False for grey levels under a Bernoulli likelihood, whose formula is then no probability."""
    if model.description.likelihood != "independent_bernoulli":
        return True
    starts = range(0, images.shape[0], batches.BATCH)
    blocks = (batches.floats(images[start : start + batches.BATCH]) for start in starts)
    return all(np.isin(block, (0.0, 1.0)).all() for block in blocks)


def double(values: Any) -> np.ndarray:
    """`values` in float64."""
    return np.asarray(values, np.float64)


def mean(values: np.ndarray) -> Mean:
    """The `Mean` of values [N]."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(float(values.mean()), float(error))
