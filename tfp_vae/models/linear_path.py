"""A linear path beside dense networks, which starts as probabilistic PCA of the training images.

Grey levels and colours are explained by their principal components in large part. Dense layers
learn that slowly, and few images they fit one by one before they have learned it. Which networks
have it is measured: `OnMaps.linear_path`.
"""

import dataclasses
import math
from typing import Self

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.images.convert import to_float
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.likelihoods import MIN_PIXEL_SCALE
from tfp_vae.layers.sparse import KSparseCode, SigmoidCode
from tfp_vae.models.statistics import Statistics
from tfp_vae.networks.base import Network

tfkl = tf_keras.layers


@dataclasses.dataclass(frozen=True)
class LinearPath:
    """Probabilistic PCA: x = z @ decoding + mean + noise, with z from N(0, I).

    Then q(z|x) = N((x - mean) @ encoding, stddev^2) is exact, with independent latents (Tipping and
    Bishop, "Probabilistic principal component analysis", 1999).

    Args:
      encoding: [P, D], of images of P values.
      decoding: [D, P].
      stddev: [D].
      deviation: standard deviation of the noise.
    """

    encoding: np.ndarray
    decoding: np.ndarray
    stddev: np.ndarray
    deviation: float

    @classmethod
    def of(cls, images: np.ndarray, latents: int) -> Self:
        """The maximum-likelihood model of `images` [N, H, W, C], floats in [0, 1] or uint8.

        Latents beyond the components that N images of P values have are left at the prior.
        """
        from sklearn.decomposition import PCA

        rows = to_float(images).numpy().reshape(len(images), -1)
        size = rows.shape[1]
        count = min(latents, len(rows) - 1, size - 1)
        variances, components = np.zeros([latents]), np.zeros([latents, size])
        if count > 0 and np.ptp(rows, axis=0).any():
            fitted = PCA(count, random_state=0).fit(rows)
            variances[:count] = fitted.explained_variance_
            components[:count] = fitted.components_
        # Not scikit-learn's noise, which is too large where images are fewer than their values.
        rest = rows.var(axis=0, ddof=min(1, count), dtype=np.float64).sum() - variances.sum()
        noise = max(rest / max(size - count, 1), MIN_PIXEL_SCALE**2)
        variances = np.maximum(variances, noise)
        decoding = np.sqrt(variances - noise)[:, np.newaxis] * components
        encoding = (decoding / variances[:, np.newaxis]).T
        return cls(encoding, decoding, np.sqrt(noise / variances), math.sqrt(noise))

    def features(self, entering: tf.Tensor, statistics: Statistics) -> tf.Tensor:
        """E[z|x] [B, D], as trainable features of `entering` [B, H, W, C], standardised images.

        They are scaled by sqrt(D / P). Without it the kernel would be far smaller than other
        kernels, and a step of Adam, the same for each of P pixels, would undo the start.
        """
        deviations, means = (
            np.broadcast_to(each, entering.shape[1:]).ravel()
            for each in (np.sqrt(statistics.channel_variances), statistics.channel_means)
        )
        size, latents = self.encoding.shape
        scale = math.sqrt(latents / size)
        layer = tfkl.Dense(latents)
        features = layer(tfkl.Flatten()(entering))
        kernel = self.encoding * deviations[:, np.newaxis]
        bias = (means - statistics.mean.ravel()) @ self.encoding
        layer.set_weights([kernel / scale, bias / scale])
        return tfkl.Rescaling(scale)(features)

    def start_posterior(self, last: tf_keras.layers.Dense, posterior: DistributionLayer) -> None:
        """Sets `last`, from features that end in those of `features`, to q(z|x)."""
        kernel, _ = last.get_weights()
        size = self.stddev.size
        kernel[:] = 0.0
        kernel[-size:, :size] = np.eye(size)
        last.set_weights([kernel, posterior.centred(self.stddev)])

    def decode(self, latents: tf.Tensor, start: np.ndarray) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D], which start at E[x|z], as `Network.decode`.

        Args:
          latents: [B, D].
          start: those of the mean image, [n, H, W, C], the first of them the mean image itself.
        """
        layer = tfkl.Dense(start.size, dtype="float32")
        parameters = layer(latents)
        rest = start.size - self.decoding.shape[1]
        layer.set_weights([np.pad(self.decoding, [(0, 0), (0, rest)]), start.ravel()])
        return parameters


def linear_path(
    images: np.ndarray | None,
    latents: int,
    trunk: Network,
    posterior: DistributionLayer,
    likelihood: DistributionLayer,
) -> LinearPath | None:
    """That of grey levels or colours, but for sparse codes: principal components are not sparse."""
    sparse = isinstance(posterior, SigmoidCode | KSparseCode)
    if images is None or likelihood.binary or sparse or not trunk.linear_path:
        return None
    return LinearPath.of(images, latents)
