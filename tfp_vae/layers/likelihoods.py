"""p(x|z): layers that turn a decoder's output into a distribution over images.

Every log-density keeps all its constants. An event is an image, so `log_prob` is summed over
pixels and channels: one number for each image, in nats.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfpl

from tfp_vae.layers.base import DistributionLayer, bound
from tfp_vae.layers.posteriors import IndependentNormal

# Smallest standard deviation of a pixel, a quarter of the step between two 8-bit grey levels
# (1/255). Without it a pixel that never changes would send the density to infinity.
MIN_PIXEL_SCALE = 1e-3

# The initial mean of a pixel is clipped to [MEAN_BOUND, 1 - MEAN_BOUND]: the logit of 0 or 1 is
# infinite, and a pixel that is black in every training image may be white in another image.
MEAN_BOUND = 1e-3


def _logits(mean: np.ndarray) -> np.ndarray:
    mean = np.clip(mean, MEAN_BOUND, 1 - MEAN_BOUND)
    return np.log(mean) - np.log1p(-mean)


class _Bernoulli(tfd.Bernoulli):
    """`tfd.Bernoulli` from logits, with one logarithm in its log-probability in place of two."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        event = tf.cast(event, self.logits.dtype)
        return -tf.nn.sigmoid_cross_entropy_with_logits(labels=event, logits=self.logits)


class _PerPixel(DistributionLayer):
    """A likelihood with one parameter for each pixel and channel."""

    def __init__(
        self,
        event_shape: tuple[int, ...] = (),
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.event_shape = tuple(np.atleast_1d(event_shape).astype(int).tolist())
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_shape: tuple[int, ...] = ()) -> int:
        """The number of parameters of one draw."""
        return int(np.prod(event_shape))

    def start(self, mean: np.ndarray) -> np.ndarray:
        """The parameters before training, [parameters, H, W, C], for images with this mean."""
        return _logits(mean)[np.newaxis]

    def reshaped(self, params: tf.Tensor) -> tf.Tensor:
        """`params` [..., size], bounded, as [..., *event_shape]."""
        params = bound(tf.convert_to_tensor(params))
        return tf.reshape(params, tf.concat([tf.shape(params)[:-1], self.event_shape], axis=0))

    def independent(self, pixels: tfd.Distribution) -> tfd.Independent:
        """`pixels`, a distribution of each pixel, as one of whole images."""
        return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event_shape": self.event_shape}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentBernoulli(_PerPixel, tfpl.IndependentBernoulli):
    """Black or white pixels, from their logits.

    The drop-in for `tfp.layers.IndependentBernoulli`: the same arguments, plus those of
    `DistributionLayer`. Its `log_prob` is a probability of images of zeros and ones only.

    Args:
      event_shape: shape of an image, (H, W, C).
      sample_dtype: dtype of draws; None is float32.
    """

    discrete = True

    def __init__(
        self,
        event_shape: tuple[int, ...] = (),
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        sample_dtype: str | tf.DType | None = None,
        validate_args: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.sample_dtype = sample_dtype
        self.validate_args = validate_args
        _PerPixel.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        dtype = self.sample_dtype or tf.float32
        logits = self.reshaped(params)
        pixels = _Bernoulli(logits=logits, dtype=dtype, validate_args=self.validate_args)
        images = self.independent(pixels)
        # As tfp.layers: so that `convert_to_tensor_fn` may be `tfd.Bernoulli.logits` or its probs.
        images._logits, images._probs = pixels._logits, pixels._probs
        return images

    def get_config(self) -> dict[str, Any]:
        own = {"sample_dtype": self.sample_dtype, "validate_args": self.validate_args}
        return {**super().get_config(), **own}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentContinuousBernoulli(_PerPixel):
    """Grey pixels in [0, 1], from their logits, as a density.

    Loaiza-Ganem and Cunningham, "The continuous Bernoulli" (2019): the Bernoulli's formula with
    the normalising constant that grey levels need.

    Args:
      event_shape: shape of an image, (H, W, C).
    """

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.independent(tfd.ContinuousBernoulli(logits=self.reshaped(params)))


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentNormalSharedScale(_PerPixel):
    """Normal pixels around their means, all with one standard deviation.

    Args:
      event_shape: shape of an image, (H, W, C).
      scale: the standard deviation in pixel units ([0, 1] is black to white); None learns it,
        bounded below by 1e-3.

    Raises:
      ValueError: a scale that is not positive and finite.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...] = (),
        scale: float | None = None,
        convert_to_tensor_fn: str | Callable[..., tf.Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if scale is not None and (isinstance(scale, str) or not 0 < scale < np.inf):
            raise ValueError(f"scale {scale!r}: expected a positive number, or None to learn it")
        _PerPixel.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)
        self.fixed_scale = scale

    def build(self, input_shape: Any) -> None:
        if self.fixed_scale is None:
            self.raw_scale = self.add_weight("raw_scale", shape=(), initializer="zeros")
        super().build(input_shape)

    @property
    def scale(self) -> float | tf.Tensor:
        """The standard deviation now, a scalar, in pixel units."""
        if self.fixed_scale is not None:
            return self.fixed_scale
        return MIN_PIXEL_SCALE + tf.math.softplus(bound(self.raw_scale))

    def start(self, mean: np.ndarray) -> np.ndarray:
        return mean[np.newaxis]

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.independent(tfd.Normal(loc=self.reshaped(params), scale=self.scale))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.fixed_scale}


def independent_normal(
    event_shape: tuple[int, ...], scale: str | float = "shared", **kwargs: Any
) -> IndependentNormalSharedScale | IndependentNormal:
    """A Normal likelihood: `scale` is "shared", "per_pixel", or a fixed number."""
    if scale == "per_pixel":
        return IndependentNormal(event_shape, min_scale=MIN_PIXEL_SCALE, **kwargs)
    fixed = None if isinstance(scale, str) else scale
    return IndependentNormalSharedScale(event_shape, fixed, **kwargs)
