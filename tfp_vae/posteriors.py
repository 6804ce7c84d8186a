"""q(z|x): layers that turn a vector of parameters into a posterior over the latents."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_vae.layers import DistributionLayer, bound
from tfp_vae.triangular import TriangularNormal, packed_diagonal

tfd = tfp.distributions
tfpl = tfp.layers

MIN_SCALE = 1e-5  # of a latent's standard deviation; a prior's is 1


def reparameterized(posterior, noise):
    """The draw of a posterior that `noise`, from N(0, 1), makes: [B, D], for any B.

    TFP's own draw of a full covariance fails at a batch of none.
    """
    if isinstance(posterior, tfd.MultivariateNormalTriL):
        return posterior.mean() + posterior.scale.matvec(noise)
    return posterior.mean() + posterior.stddev() * noise


class _NormalLayer(DistributionLayer):
    """A layer whose draws are its mean plus noise, scaled."""

    def draw(self, distribution):
        shape = tf.shape(distribution.mean())
        # Philox: what TensorFlow chooses by itself under XLA costs a fifth of a small step.
        noise = tf.random.stateless_normal(shape, self._next_seed(), alg="philox")
        return reparameterized(distribution, noise)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class MultivariateNormalTriL(_NormalLayer, tfpl.MultivariateNormalTriL):
    """Normal with a full covariance, from `D + D (D + 1) / 2` parameters.

    The drop-in for `tfp.layers.MultivariateNormalTriL`: the same arguments, plus those of
    `DistributionLayer`. The diagonal of `scale_tril` is at least `MIN_SCALE`.

    Args:
      event_size: D, the number of latents.
    """

    def __init__(
        self, event_size, convert_to_tensor_fn="sample", validate_args=False, seed=None, **kwargs
    ):
        self.event_size = int(event_size)
        self.validate_args = validate_args
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params):
        return self.new(bound(params), self.event_size, self.validate_args)

    @staticmethod
    def new(params, event_size, validate_args=False, name=None):
        """As `tfp.layers`, without ops that XLA (at an unknown batch) or LiteRT refuse."""
        with tf.name_scope(name or "MultivariateNormalTriL"):
            params = tf.convert_to_tensor(params)
            loc, packed = tf.split(params, [event_size, -1], axis=-1)
            diagonal = tf.math.softplus(packed_diagonal(packed, event_size)) + MIN_SCALE
            return TriangularNormal(loc, packed, diagonal, validate_args)

    def get_config(self):
        own = {"event_size": self.event_size, "validate_args": self.validate_args}
        return {**super().get_config(), **own}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentNormal(_NormalLayer, tfpl.IndependentNormal):
    """Normals with a mean and a standard deviation each, from `2 * size` parameters.

    The drop-in for `tfp.layers.IndependentNormal`, a posterior or, one scale for each pixel, a
    likelihood: the same arguments, plus those of `DistributionLayer`.

    Args:
      event_shape: shape of one draw: D for latents, (H, W, C) for an image.
      min_scale: lower bound of the standard deviation, in the unit of a draw.
    """

    def __init__(
        self,
        event_shape=(),
        convert_to_tensor_fn="sample",
        validate_args=False,
        min_scale=MIN_SCALE,
        seed=None,
        **kwargs,
    ):
        self.event_shape = tuple(np.atleast_1d(event_shape).astype(int).tolist())
        self.validate_args = validate_args
        self.min_scale = min_scale
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params):
        stock = self.new(bound(params), self.event_shape, self.validate_args)
        normal = stock.distribution
        return stock.copy(distribution=normal.copy(scale=normal.scale + self.min_scale))

    def start(self, mean):
        """As of a likelihood: the means, and scales of softplus(0)."""
        return np.stack([mean, np.zeros_like(mean)])

    def get_config(self):
        own = {
            "event_shape": self.event_shape,
            "validate_args": self.validate_args,
            "min_scale": self.min_scale,
        }
        return {**super().get_config(), **own}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class Deterministic(DistributionLayer):
    """All mass on one point, from D parameters: the posterior of a plain autoencoder.

    It has no density and hence no KL; a model with it reports `kl` = 0, and its `elbo` is the
    negative reconstruction error, not a bound on log p(x).

    Args:
      event_size: D, the number of latents.
    """

    def __init__(self, event_size, **kwargs):
        self.event_size = int(event_size)
        DistributionLayer.__init__(self, **{"convert_to_tensor_fn": "mean", **kwargs})

    @staticmethod
    def params_size(event_size):
        """The number of parameters of one draw."""
        return event_size

    def make_distribution(self, params):
        params = bound(tf.convert_to_tensor(params))
        return tfd.Independent(tfd.Deterministic(params), reinterpreted_batch_ndims=1)

    def get_config(self):
        return {**super().get_config(), "event_size": self.event_size}


POSTERIORS = {
    "multivariate_normal_tril": MultivariateNormalTriL,
    "independent_normal": IndependentNormal,
    "deterministic": Deterministic,
}
