"""A Gaussian mixture fitted to the latents of images, to sample from instead of the prior.

The latents of real images follow the aggregate posterior q(z), which may have little density where
the prior has much; the decoder has not been trained there. Ghosh et al., "From variational to
deterministic autoencoders" (2020), sample from a mixture fitted to the latents.
"""

from collections.abc import Container
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.mixture import GaussianMixture

from tfp_vae.errors import InputError
from tfp_vae.latent_space import array_files

MAX_ITERATIONS = 1000  # of expectation maximisation
MAX_ROUNDING = 1e-6  # of a sum of weights
# The arrays in a file; K components, D latents.
AXES = {"weights": "K", "means": "KD", "covariances": "KDD", "precisions_cholesky": "KDD"}


class ModelWithPrior(Protocol):
    """The part of an `InferenceModel` that `log_likelihoods` needs."""

    @property
    def signatures(self) -> Container[str]:
        """The names of the model's functions; "log_prior" is missing if p(z) is not known."""

    def log_prior(self, latents: Any) -> np.ndarray:
        """The log p(z) of latents [N, D]: [N], nats."""


class LogLikelihoods(NamedTuple):
    """Mean log-density of N latents, in nats per latent."""

    prior: float | None  # None for a model without `log_prior`
    mixture: float


def fit(latents: ArrayLike, *, components: int = 10, seed: int = 0) -> GaussianMixture:
    """A mixture with full covariances, fitted to `latents` [N, D].

    Args:
      latents: [N, D].
      components: 1..N.
      seed: initialises expectation maximisation.

    Raises:
      InputError: fewer different latents than components, or no component.
    """
    latents = np.asarray(latents, np.float64)
    count = len(np.unique(latents, axis=0))
    if not 1 <= components <= count:
        raise InputError(
            f"components {components}: expected 1 to {count}, the number of different latents"
        )
    mixture = GaussianMixture(components, max_iter=MAX_ITERATIONS, random_state=seed)
    return mixture.fit(latents)


def sample(mixture: GaussianMixture, n: int, *, seed: int) -> np.ndarray:
    """Draws from a mixture that `fit` or `load` returned.

    Unlike `GaussianMixture.sample`, which returns the draws sorted by component, the components
    come in random order.

    Returns:
      float32 [n, D].
    """
    generator = np.random.default_rng(seed)
    component = generator.choice(len(mixture.weights_), size=n, p=mixture.weights_)
    latents = generator.standard_normal([n, mixture.means_.shape[1]])
    scale_trils = np.linalg.cholesky(mixture.covariances_)
    for index, (mean, scale_tril) in enumerate(zip(mixture.means_, scale_trils, strict=True)):
        chosen = component == index
        latents[chosen] = mean + latents[chosen] @ scale_tril.T
    return latents.astype(np.float32)


def log_likelihoods(
    mixture: GaussianMixture, latents: ArrayLike, model: ModelWithPrior
) -> LogLikelihoods:
    """How well the model's prior and the mixture predict held-out latents.

    Args:
      mixture: fitted to other latents.
      latents: [N, D].
      model: the `InferenceModel` that encoded them.

    Returns:
      `LogLikelihoods`; its `prior` is None where the model has no `log_prior`.
    """
    latents = np.asarray(latents)
    prior = None
    if "log_prior" in model.signatures:
        prior = float(np.mean(model.log_prior(latents), dtype=np.float64))
    return LogLikelihoods(prior=prior, mixture=float(mixture.score(np.float64(latents))))


def save(mixture: GaussianMixture, path: str | Path, *, fingerprint: str) -> None:
    """Writes what `fit` returned to a `.npz`.

    Args:
      mixture: the fitted mixture.
      path: the file.
      fingerprint: `InferenceModel.fingerprint` of the model that encoded the latents.
    """
    arrays = {name: getattr(mixture, f"{name}_") for name in AXES}
    array_files.write(path, arrays, fingerprint=fingerprint)


def load(path: str | Path, *, fingerprint: str) -> GaussianMixture:
    """The mixture in a file that `save` wrote, for the model with that fingerprint.

    Raises:
      InputError: a damaged or another kind of file, or a mixture of another model's latents.
    """
    arrays = array_files.read(path, AXES, fingerprint=fingerprint)
    weights = arrays["weights"]
    if weights.min() < 0 or abs(weights.sum() - 1) > MAX_ROUNDING:
        raise InputError(f"{path}: weights are damaged: expected probabilities that sum to 1")
    try:
        np.linalg.cholesky(arrays["covariances"])
    except np.linalg.LinAlgError as error:
        raise InputError(f"{path}: covariances are damaged: expected positive ones") from error
    arrays["weights"] = weights / weights.sum()  # as exactly as drawing a component asks for
    mixture = GaussianMixture(len(weights))
    for name in AXES:
        setattr(mixture, f"{name}_", arrays[name])
    return mixture
