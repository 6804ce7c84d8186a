"""Probabilistic PCA: the log-likelihood of the best linear Gaussian model, to compare with."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae.images.convert import to_float
from tfp_vae.layers.likelihoods import MIN_PIXEL_SCALE
from tfp_vae.saved_model.contract import Description
from training.data.split import Split

MAX_IMAGES = 20_000  # that it is fitted to
MAX_VALUES = 2**27  # of those images in all: half a gigabyte in float32


class PrincipalComponents(NamedTuple):
    """What probabilistic PCA predicts of the test images.

    Attributes:
      log_likelihood: mean log p(x) of the test images, nats, a density as that of a Normal.
      latents: its number of latents.
      images: the training images that it was fitted to.
    """

    log_likelihood: float
    latents: int
    images: int


def applies(description: Description) -> bool:
    """Whether log p(x) of such a model is compared with it: a density of all latents."""
    return (
        description.likelihood == "independent_normal"
        and description.has_density
        and not description.has_codes
    )


def score(train: Split, test: Iterable[np.ndarray], latents: int) -> PrincipalComponents | None:
    """Fits probabilistic PCA (Tipping and Bishop, 1999) to training images; scores test images.

    It is `sklearn.decomposition.PCA(latents).fit(train).score(test)` for images of any size: the
    covariance is not formed. Its noise has a standard deviation of at least 1e-3, as that of a
    Normal likelihood has. There are fewer latents where there are fewer images or pixels.

    Args:
      train: the training images.
      test: batches of test images [B, H, W, C], in [0, 1].
      latents: at most.

    Returns:
      None where there is one training image, which has no components.
    """
    from sklearn.decomposition import PCA

    size = math.prod(train.shape)
    count = min(train.count, MAX_IMAGES, max(2, MAX_VALUES // size))
    if count == 1:
        return None
    latents = min(latents, count - 1, size - 1)
    with np.errstate(invalid="ignore"):  # equal images: shares of no variance, which nobody reads
        fitted = PCA(latents, random_state=0).fit(_rows(train.head(count)))
    noise = max(float(fitted.noise_variance_), MIN_PIXEL_SCALE**2)
    variances = np.maximum(np.asarray(fitted.explained_variance_, np.float64), noise)
    log_determinant = np.log(variances).sum() + (size - latents) * math.log(noise)
    found = [
        _log_density(_rows(batch) - fitted.mean_, fitted.components_, variances, noise)
        for batch in test
    ]
    constant = -0.5 * (size * math.log(2.0 * math.pi) + log_determinant)
    return PrincipalComponents(float(np.concatenate(found).mean() + constant), latents, count)


def _rows(images: np.ndarray | tf.Tensor) -> np.ndarray:
    return to_float(images).numpy().reshape(len(images), -1)


def _log_density(rows: Any, components: Any, variances: np.ndarray, noise: float) -> np.ndarray:
    """Log N(x; 0, W W^T + noise I) of rows [B, P], without its constant: [B].

    Along the components the variance is `variances`, across them `noise`.
    """
    rows = np.asarray(rows, np.float64)
    along = (rows @ np.asarray(components, np.float64).T) ** 2  # [B, latents]
    across = (rows**2).sum(axis=1) - along.sum(axis=1)
    return -0.5 * ((along / variances).sum(axis=1) + across / noise)
