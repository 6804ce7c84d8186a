"""q(z|x): layers that turn a vector of parameters into a posterior over the latents."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfpl

from tfp_vae.layers.base import DistributionLayer, Draws, bound, raw_scale
from tfp_vae.layers.packed_normal import TriangularNormal, diagonal_places, packed_diagonal
from tfp_vae.objectives import LOG_2_PI

MIN_SCALE = 1e-5  # of a latent's standard deviation, where that of N(0, I) is 1


class _NormalLayer(DistributionLayer):
    """A Normal layer that samples by reparameterisation: mean + scale * noise.

    Unlike TFP's sampler, this one works for an empty batch and compiles well.
    """

    def _noise(
        self, distribution: tfd.Distribution, seed: tf.Tensor, leading: tuple[int, ...] = ()
    ) -> tf.Tensor:
        shape = tf.shape(distribution.mean())
        if leading:
            shape = tf.concat([leading, shape], axis=0)
        # The generator that TensorFlow selects by default under XLA takes a fifth of a step.
        return tf.random.stateless_normal(shape, seed, alg="philox")

    def sample(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tf.Tensor:
        return self.sample_and_log_prob(distribution, seed)[0]

    def sample_and_log_prob(
        self, distribution: tfd.Distribution, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        noise = self._noise(distribution, seed)
        draw, log_prob = _moved(distribution, noise), self._log_prob_of_noise(distribution, noise)
        if isinstance(distribution, TriangularNormal):
            distribution.keep(draw, log_prob)
        return draw, log_prob

    def sample_several(self, params: tf.Tensor, count: int, seed: tf.Tensor) -> Draws:
        """As `DistributionLayer`, without a copy of mean and scale for each draw."""
        normal = self.make_distribution(params)
        noise = self._noise(normal, seed, leading=(count,))
        if isinstance(normal, tfd.MultivariateNormalTriL):
            # Not `matvec`, whose gradient would hold a matrix [D, D] for each draw.
            scaled = tf.einsum("bij,kbj->kbi", normal.scale.to_dense(), noise)
            latents = normal.mean() + scaled
        else:
            latents = _moved(normal, noise)
        return Draws(latents, self._log_prob_of_noise(normal, noise), normal.log_prob)

    def _log_prob_of_noise(self, distribution: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
        """The log N(z; mean, scale) of z = mean + scale * noise: no triangular system is solved."""
        of_noise = -0.5 * (noise**2 + LOG_2_PI)
        if isinstance(distribution, tfd.MultivariateNormalTriL):
            log_scales = tf.math.log(distribution.scale.diag_part())
        else:
            log_scales = tf.math.log(distribution.stddev())
        axes = tf.range(tf.rank(noise) - len(distribution.event_shape), tf.rank(noise))
        return tf.reduce_sum(of_noise - log_scales, axis=axes)


def _moved(distribution: tfd.Distribution, noise: tf.Tensor) -> tf.Tensor:
    """The draw mean + scale * noise of a Normal, for `noise` from N(0, I): [B, D], for any B."""
    if isinstance(distribution, tfd.MultivariateNormalTriL):
        return distribution.mean() + distribution.scale.matvec(noise)
    return distribution.mean() + distribution.stddev() * noise


@tf_keras.saving.register_keras_serializable("tfp_vae")
class MultivariateNormalTriL(_NormalLayer, tfpl.MultivariateNormalTriL):
    """Normal with a full covariance, from `D + D (D + 1) / 2` parameters.

    The drop-in for `tfp.layers.MultivariateNormalTriL`: the same arguments, plus those of
    `DistributionLayer`. The diagonal of `scale_tril` is at least `MIN_SCALE`.

    Args:
      event_size: D, the number of latents.
    """

    def __init__(
        self,
        event_size: int,
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        validate_args: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.event_size = int(event_size)
        self.validate_args = validate_args
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.new(bound(params), self.event_size, self.validate_args)

    @staticmethod
    def new(
        params: tf.Tensor, event_size: int, validate_args: bool = False, name: str | None = None
    ) -> tfd.MultivariateNormalTriL:
        """As `tfp.layers`, without ops that XLA (at an unknown batch) or LiteRT refuse."""
        with tf.name_scope(name or "MultivariateNormalTriL"):
            params = tf.convert_to_tensor(params)
            loc, packed = tf.split(params, [event_size, -1], axis=-1)
            diagonal = tf.math.softplus(packed_diagonal(packed, event_size)) + MIN_SCALE
            return TriangularNormal(loc, packed, diagonal, validate_args)

    def centred(self, stddev: np.ndarray) -> np.ndarray:
        params = np.zeros([self.params_size(self.event_size)])
        params[self.event_size + diagonal_places(self.event_size)] = raw_scale(stddev, MIN_SCALE)
        return params

    def get_config(self) -> dict[str, Any]:
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

    Attributes:
      in_pixel_units, spread: of a likelihood, as those of `PerPixel`.
    """

    in_pixel_units = True
    spread = 0.01

    def __init__(
        self,
        event_shape: int | tuple[int, ...] = (),
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        validate_args: bool = False,
        min_scale: float = MIN_SCALE,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.event_shape = tuple(np.atleast_1d(event_shape).astype(int).tolist())
        self.validate_args = validate_args
        self.min_scale = min_scale
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        stock = self.new(bound(params), self.event_shape, self.validate_args)
        normal = stock.distribution
        return stock.copy(distribution=normal.copy(scale=normal.scale + self.min_scale))

    def start(self, mean: np.ndarray, deviation: float) -> np.ndarray:
        """Of a likelihood, the parameters before training, as `PerPixel.start`."""
        return np.stack([mean, np.full_like(mean, raw_scale(deviation, self.min_scale))])

    def centred(self, stddev: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(stddev), raw_scale(stddev, self.min_scale)])

    def get_config(self) -> dict[str, Any]:
        own = {
            "event_shape": self.event_shape,
            "validate_args": self.validate_args,
            "min_scale": self.min_scale,
        }
        return {**super().get_config(), **own}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentNormalFixedScale(_NormalLayer):
    """Normals with a mean each, from D parameters, and one standard deviation that stays.

    Args:
      event_size: D, the number of latents.
      scale: the standard deviation of each, where that of N(0, I) is 1.

    Raises:
      ValueError: a scale that is not positive and finite.
    """

    def __init__(
        self,
        event_size: int,
        scale: float = 1.0,
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(scale, str) or not 0 < scale < np.inf:
            raise ValueError(f"scale {scale!r}: expected a positive number")
        self.event_size, self.scale = int(event_size), float(scale)
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_size: int) -> int:
        """The number of parameters of one draw."""
        return event_size

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        loc = bound(tf.convert_to_tensor(params))
        return tfd.Independent(tfd.Normal(loc, self.scale), reinterpreted_batch_ndims=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event_size": self.event_size, "scale": self.scale}


def independent_normal(
    event_size: int, scale: str | float = "learned", **kwargs: Any
) -> IndependentNormal | IndependentNormalFixedScale:
    """A Normal posterior with a diagonal covariance: `scale` is "learned", or a fixed number."""
    if isinstance(scale, str):
        return IndependentNormal(event_size, **kwargs)
    return IndependentNormalFixedScale(event_size, scale, **kwargs)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class Deterministic(DistributionLayer):
    """All mass on one point, from D parameters: the posterior of a plain autoencoder.

    It has no density and hence no KL; a model with it reports `kl` = 0, and its `elbo` is the
    negative reconstruction error, not a bound on log p(x).

    Args:
      event_size: D, the number of latents.
    """

    has_density = False

    def __init__(self, event_size: int, **kwargs: Any) -> None:
        self.event_size = int(event_size)
        DistributionLayer.__init__(self, **{"convert_to_tensor_fn": "mean", **kwargs})

    @staticmethod
    def params_size(event_size: int) -> int:
        """The number of parameters of one draw."""
        return event_size

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        params = bound(tf.convert_to_tensor(params))
        return tfd.Independent(tfd.Deterministic(params), reinterpreted_batch_ndims=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event_size": self.event_size}
