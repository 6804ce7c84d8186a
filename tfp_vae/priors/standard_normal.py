"""N(0, I)."""

import numpy as np
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.priors.base import Prior


@tf_keras.saving.register_keras_serializable("tfp_vae")
class StandardNormal(Prior):
    """N(0, I) over D latents, without weights.

    Args:
      latent_size: D.
    """

    def distribution(self) -> tfd.Distribution:
        return standard_normal(self.latent_size)


def standard_normal(size: int) -> tfd.Distribution:
    """N(0, I) over [size]."""
    zeros = np.zeros(size, np.float32)
    return tfd.Independent(tfd.Normal(loc=zeros, scale=1.0), reinterpreted_batch_ndims=1)
