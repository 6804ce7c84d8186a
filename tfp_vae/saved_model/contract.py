"""The contract of a SavedModel: its signatures, and the description beside them.

Images are float32 [B, H, W, C] in [0, 1], latents float32 [B, D], seeds int32 [2], and
log-probabilities [B] in nats. A seed makes a call deterministic.

| signature | inputs | outputs |
|---|---|---|
| `serving_default` | `image` | `reconstruction`, the mean of p(x|z) at the mean of q(z|x) |
| `encode` | `image` | `mean`, `stddev` [B, D] of q(z|x); of a Normal `scale_tril` [B, D, D] |
| `decode` | `latent` | `mean` of p(x|z) |
| `sample` | `n` int32 [], `seed` | `latent` [n, D] from p(z), `image`: the mean of p(x|z) there |
| `log_likelihood` | `image`, `latent` | `log_likelihood`, log p(x|z), constants kept |
| `elbo` | `image`, `seed` | `elbo`, `reconstruction_nll`, `kl`, at one draw of z |
| `sample_posterior` | `image`, `seed` | `latent`, `log_posterior`: log q(z|x) at that draw |
| `log_prior` | `latent` | `log_prior`: log p(z) |
| `sample_image` | `latent`, `seed` | `image`: a draw from p(x|z), noise included |
| `embed` | `latent` | of codes: `embedding` [B, D, C], their vectors |

A latent of a hierarchy is one vector of all levels, the top one first, each level in units of its
prior given those above it: u_l = (z_l - m_l) / s_l where p(z_l | z_>l) = N(m_l, s_l^2). All log
densities are those of u; `decode` computes m_l and s_l. `mean` of `encode` is that of each level
given the means of those above.

Latents of codes are int32 [B, D], the top level first, each in 0..K - 1. `encode` gives `code`, and
`embed` the vectors of codes. All mass of q(z|x) is on one code of each position: `log_posterior` is
0, and `elbo` = log p(x|z) + log p(z) at the codes. The codes are a bound's, not all of p(x): other
codes can make the same image.

A deterministic posterior has no density: `sample_posterior` and `log_prior` are missing, and `elbo`
is the negative reconstruction error alone, with `kl` = 0.

Version 0.1.0 wrote contract 1: the first six signatures, `scale_tril` for every posterior, and no
description.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

import pydantic

DESCRIPTION = "assets/tfp_vae.json"

OUTPUTS_1 = {
    "serving_default": ("reconstruction",),
    "encode": ("mean", "stddev", "scale_tril"),
    "decode": ("mean",),
    "sample": ("image", "latent"),
    "log_likelihood": ("log_likelihood",),
    "elbo": ("elbo", "reconstruction_nll", "kl"),
}
OUTPUTS_2 = {
    **OUTPUTS_1,
    "sample_posterior": ("latent", "log_posterior"),
    "log_prior": ("log_prior",),
    "sample_image": ("image",),
}
INPUTS = {
    "serving_default": ("image",),
    "encode": ("image",),
    "decode": ("latent",),
    "sample": ("n", "seed"),
    "log_likelihood": ("image", "latent"),
    "elbo": ("image", "seed"),
    "sample_posterior": ("image", "seed"),
    "log_prior": ("latent",),
    "sample_image": ("latent", "seed"),
    "embed": ("latent",),
}
OF_A_DENSITY = ("sample_posterior", "log_prior")  # only where q(z|x) has a density


class Description(pydantic.BaseModel):
    """`assets/tfp_vae.json`: which family of model the signatures belong to."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", strict=True)

    contract: Literal[1, 2] = 2
    model: str
    """Name of the model, in its registry."""
    posterior: str
    """Name of q(z|x): in its registry, or the class of a layer that is in none. Of a hierarchy that
    of a level given those above it."""
    prior: str
    """Name of p(z), likewise; of a fixed distribution its class in `tfp.distributions`. Of a
    hierarchy that of its top level."""
    likelihood: str
    """Name of p(x|z), likewise."""
    log_likelihood: Literal["probability", "density", "unknown"]
    """Whether p(x|z) is a probability (its nats become bits per dimension) or a density; contract 1
    does not say."""
    kl: Literal["exact", "monte_carlo", "none", "unknown"]
    """The form of the KL in `elbo`; contract 1 does not say where the prior is unknown."""
    has_density: bool = True
    """Whether q(z|x) has a density; a deterministic one has none."""
    posterior_is_normal: bool
    """Whether q(z|x) is a Normal, given by `mean` and `scale_tril`; that of a hierarchy is none."""
    prior_is_standard_normal: bool
    """Whether p(z) is N(0, I)."""
    latent_shape: tuple[int, ...]
    """Shape of one latent: (D,)."""
    latent_dtype: Literal["float32", "int32"] = "float32"
    codebook_size: int | None = None
    """K, where latents are codes 0..K - 1."""
    latent_levels: tuple[int, ...]
    """The level of the hierarchy that each coordinate belongs to, [D]: 1 is next to the image, the
    highest number is the top and comes first; 0 throughout for a model of one level."""

    @classmethod
    def read(cls, folder: Path) -> "Description | None":
        """The description in a SavedModel's folder; None where there is none (contract 1).

        Raises:
          ValueError: a damaged file.
        """
        path = folder / DESCRIPTION
        return cls.model_validate_json(path.read_bytes()) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Writes the description into a SavedModel's folder."""
        path = folder / DESCRIPTION
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @property
    def has_codes(self) -> bool:
        """Whether latents are codes."""
        return self.latent_dtype == "int32"

    @property
    def level_sizes(self) -> dict[int, int]:
        """The number of coordinates of each level, the top one first; of one level none."""
        return dict(Counter(self.latent_levels)) if any(self.latent_levels) else {}

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The signatures that such a model has, and the outputs of each."""
        if self.contract == 1:
            return OUTPUTS_1
        if self.has_codes:
            return {**OUTPUTS_2, "encode": ("code",), "embed": ("embedding",)}
        found = {
            name: outputs
            for name, outputs in OUTPUTS_2.items()
            if self.has_density or name not in OF_A_DENSITY
        }
        if not self.posterior_is_normal:
            found["encode"] = ("mean", "stddev")
        return found
