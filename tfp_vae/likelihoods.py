"""p(x|z): layers that turn a decoder's output into a distribution over images.

Every log-density keeps all its constants. An event is an image, so `log_prob` is summed over
pixels and channels: one number for each image, in nats.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_vae.layers import DistributionLayer, bound
from tfp_vae.posteriors import IndependentNormal

tfd = tfp.distributions
tfpl = tfp.layers

# Smallest standard deviation of a pixel, a quarter of the step between two 8-bit grey levels
# (1/255). Without it a pixel that never changes would send the density to infinity.
MIN_PIXEL_SCALE = 1e-3

# A mean of 0 or 1 would be an infinite logit; a pixel that was black in all of the training images
# need not be so in the next.
MEAN_BOUND = 1e-3


def _logits(mean):
    mean = np.clip(mean, MEAN_BOUND, 1 - MEAN_BOUND)
    return np.log(mean) - np.log1p(-mean)


class _Bernoulli(tfd.Bernoulli):
    """`tfd.Bernoulli` from logits, with one logarithm in its log-probability in place of two."""

    def _log_prob(self, event):
        event = tf.cast(event, self.logits.dtype)
        return -tf.nn.sigmoid_cross_entropy_with_logits(labels=event, logits=self.logits)


class _PerPixel(DistributionLayer):
    """A likelihood with one parameter for each pixel and channel."""

    def __init__(self, event_shape=(), convert_to_tensor_fn="sample", seed=None, **kwargs):
        self.event_shape = tuple(np.atleast_1d(event_shape).astype(int).tolist())
        DistributionLayer.__init__(self, convert_to_tensor_fn, seed, **kwargs)

    @staticmethod
    def params_size(event_shape=()):
        """The number of parameters of one draw."""
        return int(np.prod(event_shape))

    def start(self, mean):
        """The first guess of every parameter, [parameters, H, W, C], for images with this mean."""
        return _logits(mean)[np.newaxis]

    def reshaped(self, params):
        """`params` [..., size], bounded, as [..., *event_shape]."""
        params = bound(tf.convert_to_tensor(params))
        return tf.reshape(params, tf.concat([tf.shape(params)[:-1], self.event_shape], axis=0))

    def independent(self, pixels):
        """`pixels`, a distribution of each pixel, as one of whole images."""
        return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self):
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

    def __init__(
        self,
        event_shape=(),
        convert_to_tensor_fn="sample",
        sample_dtype=None,
        validate_args=False,
        seed=None,
        **kwargs,
    ):
        self.sample_dtype = sample_dtype
        self.validate_args = validate_args
        _PerPixel.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)

    def make_distribution(self, params):
        dtype = self.sample_dtype or tf.float32
        logits = self.reshaped(params)
        pixels = _Bernoulli(logits=logits, dtype=dtype, validate_args=self.validate_args)
        images = self.independent(pixels)
        # As tfp.layers: so that `convert_to_tensor_fn` may be `tfd.Bernoulli.logits` or its probs.
        images._logits, images._probs = pixels._logits, pixels._probs
        return images

    def get_config(self):
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

    def make_distribution(self, params):
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
        self, event_shape=(), scale=None, convert_to_tensor_fn="sample", seed=None, **kwargs
    ):
        if scale is not None and (isinstance(scale, str) or not 0 < scale < np.inf):
            raise ValueError(f"scale {scale!r}: expected a positive number, or None to learn it")
        _PerPixel.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)
        self.fixed_scale = scale

    def build(self, input_shape):
        if self.fixed_scale is None:
            self.raw_scale = self.add_weight("raw_scale", shape=(), initializer="zeros")
        super().build(input_shape)

    @property
    def scale(self):
        """The standard deviation now, a scalar."""
        if self.fixed_scale is not None:
            return self.fixed_scale
        return MIN_PIXEL_SCALE + tf.math.softplus(bound(self.raw_scale))

    def start(self, mean):
        return mean[np.newaxis]

    def make_distribution(self, params):
        return self.independent(tfd.Normal(loc=self.reshaped(params), scale=self.scale))

    def get_config(self):
        return {**super().get_config(), "scale": self.fixed_scale}


def independent_normal(event_shape, scale="shared", **kwargs):
    """A Normal likelihood: `scale` is "shared", "per_pixel", or a fixed number."""
    if scale == "per_pixel":
        return IndependentNormal(event_shape, min_scale=MIN_PIXEL_SCALE, **kwargs)
    return IndependentNormalSharedScale(event_shape, None if scale == "shared" else scale, **kwargs)


LIKELIHOODS = {
    "independent_bernoulli": IndependentBernoulli,
    "continuous_bernoulli": IndependentContinuousBernoulli,
    "independent_normal": independent_normal,
}
