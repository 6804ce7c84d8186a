"""A Gaussian mixture over the latents: a sampler for where they are not as the prior has them.

The latents of real images, whose distribution is the aggregate posterior, may leave parts of the
prior empty; what the decoder makes of draws from there it has not learned. Ghosh et al., "From
variational to deterministic autoencoders" (2020), fit a mixture to the latents to sample from.
"""

from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture

from tfp_vae import array_files

MAX_ITERATIONS = 1000  # of expectation maximisation
AXES = {"weights": "K", "means": "KD", "covariances": "KDD", "precisions_cholesky": "KDD"}


class LogLikelihoods(NamedTuple):
    """Mean log-density of some latents [N, D]: nats for each of the N."""

    prior: float  # N(0, I)
    mixture: float


def fit(latents, *, components=10, seed=0):
    """A `sklearn.mixture.GaussianMixture` of full covariances, fitted to `latents` [N, D].

    Raises:
      ValueError: fewer latents than components, or no component.
    """
    if not 1 <= components <= len(latents):
        raise ValueError(
            f"components {components}: expected 1 to {len(latents)}, as many as latents"
        )
    mixture = GaussianMixture(components, max_iter=MAX_ITERATIONS, random_state=seed)
    return mixture.fit(np.asarray(latents, np.float64))


def sample(mixture, n, *, seed):
    """`n` draws from a mixture that `fit` or `load` returned: float32 [n, D].

    The components come in random order, not one after another as from scikit-learn.
    """
    generator = np.random.default_rng(seed)
    component = generator.choice(len(mixture.weights_), size=n, p=mixture.weights_)
    latents = generator.standard_normal([n, mixture.means_.shape[1]])
    scale_trils = np.linalg.cholesky(mixture.covariances_)
    for index, (mean, scale_tril) in enumerate(zip(mixture.means_, scale_trils, strict=True)):
        chosen = component == index
        latents[chosen] = mean + latents[chosen] @ scale_tril.T
    return latents.astype(np.float32)


def log_likelihoods(mixture, latents):
    """How well prior and mixture predict `latents` [N, D] that the mixture was not fitted to.

    Returns:
      `LogLikelihoods`.
    """
    latents = np.asarray(latents, np.float64)
    squares = (latents**2).sum(axis=1).mean()
    prior = -0.5 * (squares + latents.shape[1] * np.log(2.0 * np.pi))
    return LogLikelihoods(prior=float(prior), mixture=float(mixture.score(latents)))


def save(mixture, path, *, fingerprint):
    """Writes what `fit` returned to a `.npz`.

    Args:
      mixture: the fitted mixture.
      path: the file.
      fingerprint: `SavedVAE.fingerprint` of the model whose latents it was fitted to.
    """
    arrays = {name: getattr(mixture, f"{name}_") for name in AXES}
    array_files.write(path, arrays, fingerprint=fingerprint)


def load(path, *, fingerprint):
    """The mixture in a file of `save`, for the model with that fingerprint.

    Raises:
      InputError: another kind of file, or a mixture of another model's latents.
    """
    arrays = array_files.read(path, AXES, fingerprint=fingerprint)
    mixture = GaussianMixture(len(arrays["weights"]))
    for name in AXES:
        setattr(mixture, f"{name}_", arrays[name])
    return mixture
