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

from tfp_vae.layers.pixels import PerPixel
from tfp_vae.layers.posteriors import IndependentNormal
from tfp_vae.layers.shared_scale import SharedScale, weighted_mean

# Smallest standard deviation of a pixel, a quarter of the step between two 8-bit grey levels
# (1/255). Without it a pixel that never changes would send the density to infinity.
MIN_PIXEL_SCALE = 1e-3

# The initial mean of a pixel is clipped to [MEAN_BOUND, 1 - MEAN_BOUND]: the logit of 0 or 1 is
# infinite, and a pixel that is black in every training image may be white in another image.
MEAN_BOUND = 1e-3


class _Bernoulli(tfd.Bernoulli):
    """`tfd.Bernoulli` from logits, with one logarithm in its log-probability in place of two."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        event = tf.cast(event, self.logits.dtype)
        return -tf.nn.sigmoid_cross_entropy_with_logits(labels=event, logits=self.logits)


class _Logits(PerPixel):
    """A likelihood whose parameters are the logits of its pixels' means."""

    in_pixel_units = False
    spread = 1.0

    def start(self, mean: np.ndarray, deviation: float) -> np.ndarray:
        mean = np.clip(mean, MEAN_BOUND, 1 - MEAN_BOUND)
        return (np.log(mean) - np.log1p(-mean))[np.newaxis]


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentBernoulli(_Logits, tfpl.IndependentBernoulli):
    """Black or white pixels, from their logits.

    The drop-in for `tfp.layers.IndependentBernoulli`: the same arguments, plus those of
    `DistributionLayer`. Its `log_prob` is a probability of images of zeros and ones only.

    Args:
      event_shape: shape of an image, (H, W, C).
      sample_dtype: dtype of draws; None is float32.
    """

    discrete = True
    binary = True

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
        _Logits.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)

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
class IndependentContinuousBernoulli(_Logits):
    """Grey pixels in [0, 1], from their logits, as a density.

    Loaiza-Ganem and Cunningham, "The continuous Bernoulli" (2019): the Bernoulli's formula with
    the normalising constant that grey levels need.

    Args:
      event_shape: shape of an image, (H, W, C).
    """

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.independent(tfd.ContinuousBernoulli(logits=self.reshaped(params)))


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentNormalSharedScale(SharedScale):
    """Normal pixels around their means, all with one standard deviation.

    Args:
      event_shape: shape of an image, (H, W, C).
      scale: the standard deviation in pixel units ([0, 1] is black to white); None fits it,
        bounded below by 1e-3.

    Raises:
      ValueError: a scale that is not positive and finite.
    """

    min_scale = MIN_PIXEL_SCALE
    fisher_information = 2.0

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.independent(tfd.Normal(loc=self.reshaped(params), scale=self.scale))

    def score(self, pixels: tfd.Normal, images: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
        return weighted_mean(tf.square((images - pixels.loc) / pixels.scale), weights) - 1.0


def independent_normal(
    event_shape: tuple[int, ...], scale: str | float = "shared", **kwargs: Any
) -> IndependentNormalSharedScale | IndependentNormal:
    """A Normal likelihood: `scale` is "shared", "per_pixel", or a fixed number."""
    if scale == "per_pixel":
        return IndependentNormal(event_shape, min_scale=MIN_PIXEL_SCALE, **kwargs)
    fixed = None if isinstance(scale, str) else scale
    return IndependentNormalSharedScale(event_shape, fixed, **kwargs)
