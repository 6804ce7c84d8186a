"""A Gaussian mixture over the latents, for samples where q(z) is not the prior.

q(z), the aggregate posterior, is the mean of q(z|x) over the images. Where training left it apart
from the prior, draws from the prior fall where the decoder has seen nothing; a mixture fitted to
the latents of real images does not (Ghosh et al., "From variational to deterministic
autoencoders", 2020).
"""

from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture

from tfp_vae import arrays

MAX_ITERATIONS = 1000  # of expectation maximisation; scikit-learn's 100 stop short on digits
PARAMETERS = ("weights", "means", "covariances", "precisions_cholesky")


class LogLikelihoods(NamedTuple):
    """Mean log-density of some latents, nats for each latent vector."""

    prior: float  # under N(0, I)
    mixture: float


def fit(latents, *, components=10, seed=0):
    """A `sklearn.mixture.GaussianMixture` with full covariances, fitted to `latents` [N, D].

    Raises:
      ValueError: fewer latents than components.
    """
    if not 1 <= components <= len(latents):
        raise ValueError(f"components {components}: expected 1 to the {len(latents)} latents")
    mixture = GaussianMixture(components, max_iter=MAX_ITERATIONS, random_state=seed)
    return mixture.fit(np.asarray(latents, np.float64))


def sample(mixture, n, *, seed):
    """`n` draws, their components in random order: [n, D], float32; a function of the seed."""
    generator = np.random.default_rng(seed)
    component = generator.choice(len(mixture.weights_), size=n, p=mixture.weights_)
    latents = generator.standard_normal([n, mixture.means_.shape[1]])
    for index, mean in enumerate(mixture.means_):
        scale_tril = np.linalg.cholesky(mixture.covariances_[index])
        chosen = component == index
        latents[chosen] = mean + latents[chosen] @ scale_tril.T
    return latents.astype(np.float32)


def log_likelihoods(mixture, latents):
    """How well the prior and `mixture` predict `latents` [N, D], best ones it was not fitted to.

    Returns:
      `LogLikelihoods`.
    """
    latents = np.asarray(latents, np.float64)
    constant = latents.shape[1] * np.log(2.0 * np.pi)
    prior = -0.5 * ((latents**2).sum(axis=1) + constant)
    return LogLikelihoods(float(prior.mean()), float(mixture.score(latents)))


def save(mixture, path, *, fingerprint):
    """Writes the mixture's parameters as plain arrays in a `.npz`.

    Args:
      mixture: a fitted `GaussianMixture` with full covariances.
      path: the file.
      fingerprint: of the model whose latents these are, `SavedVAE.fingerprint`.
    """
    values = {name: getattr(mixture, f"{name}_") for name in PARAMETERS}
    arrays.write(path, fingerprint=fingerprint, **values)


def load(path, *, fingerprint):
    """The mixture that `save` wrote for the model with that fingerprint.

    Raises:
      ArraysError: another kind of file, or a mixture of another model's latents.
    """
    values = arrays.read(path, PARAMETERS, fingerprint=fingerprint, kind="a mixture")
    components, size = len(values["weights"]), values["means"].shape[-1]
    ...
