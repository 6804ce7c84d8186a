"""Pixels as what 8-bit images are: one of 256 levels, by a logistic over their intervals."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution
from tfp_vae.layers.pixels import PerPixel
from tfp_vae.layers.shared_scale import SharedScale, weighted_mean

LEVELS = 256
HALF_STEP = 0.5 / (LEVELS - 1)  # between a level and the border of its interval, in pixel units
MIN_SCALE = 1e-4  # in pixel units: then all but 1e-8 of the mass is on the nearest level
STDDEV_OF_UNIT_SCALE = np.pi / np.sqrt(3.0)


class DiscretizedLogistic(OwnDistribution):
    """A logistic whose mass in the interval around each of 256 levels is that level's probability.

    Kingma et al., "Improved variational inference with inverse autoregressive flow" (2016). The
    outer intervals are open, as in Salimans et al., "PixelCNN++" (2017), so that the 256
    probabilities sum to 1.
    With a and b the upper and lower border of a level's interval in units of the scale,
    sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), a product of which no
    factor cancels; at 0 and 255 one sigmoid remains.

    Args:
      loc: in pixel units ([0, 1] is level 0 to 255), any shape.
      scale: of the logistic, in pixel units, broadcast to it.
    """

    def __init__(self, loc: Any, scale: Any, name: str = "DiscretizedLogistic") -> None:
        parameters = {"loc": loc, "scale": scale, "name": name}
        self.loc = tf.convert_to_tensor(loc, tf.float32)
        self.scale = tf.convert_to_tensor(scale, tf.float32)
        super().__init__(parameters, reparameterized=False)

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        of_any_shape = tfp.util.ParameterProperties()
        return {"loc": of_any_shape, "scale": of_any_shape}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """The log-probability of the level nearest to `x`, in nats."""
        level = _nearest(x)
        above = (level + HALF_STEP - self.loc) / self.scale
        below = (level - HALF_STEP - self.loc) / self.scale
        is_lowest, is_highest = level <= 0.0, level >= 1.0
        zero = tf.zeros_like(above)
        # log(1 - exp(-width)): the same for all inner levels.
        inner = tf.math.log(-tf.math.expm1(-2.0 * HALF_STEP / self.scale))
        return (
            tf.where(is_highest, zero, -tf.math.softplus(-above))
            + tf.where(is_lowest, zero, -tf.math.softplus(below))
            + tf.where(is_lowest | is_highest, zero, inner + zero)
        )

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return _nearest(tfd.Logistic(self.loc, self.scale).sample(n, seed=seed))

    def _mean(self) -> tf.Tensor:
        """The mean of the logistic clipped to [0, 1]: the integral of P(X > t) over t in [0, 1].

        It is at most half a level, 0.002, from the mean of the levels.
        """
        # The mean at 1 - loc is 1 minus the mean at loc: far above 1 the terms would cancel.
        loc = tf.minimum(self.loc, 1.0 - self.loc)
        low, high, width = loc / self.scale, (loc - 1.0) / self.scale, 1.0 / self.scale
        difference = tf.math.softplus(low) - tf.math.softplus(high)
        # The same where the scale is large, and the two terms would cancel.
        rise = tf.math.log1p(tf.sigmoid(high) * tf.math.expm1(tf.minimum(width, 1.0)))
        mean = self.scale * tf.where(width < 1.0, rise, difference)
        return tf.clip_by_value(tf.where(self.loc > 0.5, 1.0 - mean, mean), 0.0, 1.0)

    def _mode(self) -> tf.Tensor:
        return _nearest(self.loc)


def _nearest(x: tf.Tensor) -> tf.Tensor:
    """The level nearest to `x`, in pixel units."""
    return tf.round(tf.clip_by_value(x, 0.0, 1.0) * (LEVELS - 1)) / (LEVELS - 1)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentDiscretizedLogistic(SharedScale):
    """8-bit pixels, all with one scale.

    Its `log_prob` is a probability of images of 256 levels, k / 255; other values count as the
    nearest level.

    Args:
      event_shape: shape of an image, (H, W, C).
      scale: of the logistic, in pixel units ([0, 1] is black to white); None fits it.
    """

    discrete = True
    min_scale = MIN_SCALE
    fisher_information = (3.0 + np.pi**2) / 9.0

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return self.independent(DiscretizedLogistic(self.reshaped(params), self.scale))

    def scale_of(self, deviation: float) -> float:
        return deviation / STDDEV_OF_UNIT_SCALE

    def score(
        self, pixels: DiscretizedLogistic, images: tf.Tensor, weights: tf.Tensor | None
    ) -> tf.Tensor:
        loc, scale = tf.stop_gradient(pixels.loc), tf.stop_gradient(pixels.scale)
        log_factor = tf.constant(0.0)
        with tf.GradientTape() as tape:
            tape.watch(log_factor)
            scaled = DiscretizedLogistic(loc, scale * tf.exp(log_factor))
            mean = weighted_mean(scaled.log_prob(images), weights)
        return tape.gradient(mean, log_factor)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class IndependentDiscretizedLogisticPerPixel(PerPixel):
    """8-bit pixels, each with a scale of its own, from `2 * H * W * C` parameters.

    Args:
      event_shape: shape of an image, (H, W, C).
    """

    discrete = True

    @staticmethod
    def params_size(event_shape: tuple[int, ...] = ()) -> int:
        """The number of parameters of one draw."""
        return 2 * int(np.prod(event_shape))

    def start(self, mean: np.ndarray, deviation: float) -> np.ndarray:
        raw = np.log(np.expm1(max(deviation / STDDEV_OF_UNIT_SCALE - MIN_SCALE, MIN_SCALE)))
        return np.stack([mean, np.full_like(mean, raw)])

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        loc, raw = (self.reshaped(each) for each in tf.split(params, 2, axis=-1))
        return self.independent(DiscretizedLogistic(loc, MIN_SCALE + tf.math.softplus(raw)))


def discretized_logistic(
    event_shape: tuple[int, ...], scale: str | float = "shared", **kwargs: Any
) -> IndependentDiscretizedLogistic | IndependentDiscretizedLogisticPerPixel:
    """A discretised logistic likelihood: `scale` is "shared", "per_pixel", or a fixed number."""
    if scale == "per_pixel":
        return IndependentDiscretizedLogisticPerPixel(event_shape, **kwargs)
    fixed = None if isinstance(scale, str) else scale
    return IndependentDiscretizedLogistic(event_shape, fixed, **kwargs)
