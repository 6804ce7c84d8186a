"""One scale for all pixels of a likelihood, fitted by maximum likelihood while a model trains."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_vae import objectives
from tfp_vae.layers.base import bound
from tfp_vae.layers.pixels import PerPixel

CALIBRATION_RATE = 0.1  # of the way to the optimum of a batch, in each training step


class SharedScale(PerPixel):
    """Pixels around their locations, all with one scale: a fixed number, or fitted to the images.

    Adam would move the scale by its step size, 1e-3 at a time, and for thousands of steps noise
    would explain what the latents should. `VAE.train_step` therefore calls `calibrate` after each
    step of the optimizer. The scale follows the optimum given the network's output, as in Rybkin et
    al., "Simple and effective VAE training with calibrated decoders" (2021), averaged over the last
    batches; it is saved as a weight, so that evaluation uses the fitted value.

    Subclasses set `min_scale` and `fisher_information`, and define `score`.

    Attributes:
      min_scale: lower bound of a fitted scale, in pixel units.
      fisher_information: of the log of the scale, for one pixel.

    Args:
      event_shape: shape of an image, (H, W, C).
      scale: in pixel units ([0, 1] is black to white); None fits it.

    Raises:
      ValueError: a scale that is not positive and finite.
    """

    min_scale: float
    fisher_information: float

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
        PerPixel.__init__(self, event_shape, convert_to_tensor_fn, seed, **kwargs)
        self.fixed_scale = scale

    def build(self, input_shape: Any) -> None:
        if self.fixed_scale is None:
            mean = tf.VariableAggregation.MEAN  # replicas assign equal values
            self.raw_scale = self.add_weight(
                "raw_scale", shape=(), initializer="zeros", aggregation=mean
            )
        super().build(input_shape)

    @property
    def scale(self) -> float | tf.Tensor:
        """The scale now, a scalar, in pixel units."""
        if self.fixed_scale is not None:
            return self.fixed_scale
        return self.min_scale + tf.math.softplus(bound(self.raw_scale))

    def start(self, mean: np.ndarray, deviation: float) -> np.ndarray:
        return mean[np.newaxis]

    def start_scale(self, deviation: float) -> None:
        """Sets a fitted scale to that of pixels whose standard deviation is `deviation`."""
        if self.fixed_scale is None:
            self._assign(tf.constant(self.scale_of(deviation), tf.float32))

    def scale_of(self, deviation: float) -> float:
        """The scale of a pixel whose standard deviation is `deviation`."""
        return deviation

    def score(self, pixels: Any, images: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
        """The mean over pixels of d log p(x|z) / d log scale: a scalar, 0 at the optimum.

        `weights` [N] are those of the images, 1 on average, as `weighted_mean` takes them.
        """
        raise TypeError(f"{type(self).__name__} does not define score()")

    def calibrate(
        self, likelihood: tfd.Independent, images: tf.Tensor, weights: tf.Tensor | None = None
    ) -> None:
        """Moves a fitted scale towards its maximum-likelihood value for a batch.

        A step of the natural gradient: for a Normal, an exponential moving average of the mean
        squared error, which its variance should equal.

        Args:
          likelihood: p(x|z) as the layer returned it, before the optimizer's step.
          images: x, [B, H, W, C].
          weights: of the images, [B], none below 0; None weighs them all alike. Where the loss
            weighs images, or several draws for each of them, these weights, since its derivative by
            the scale does too. If all are 0, or there are no images, nothing moves.
        """
        if self.fixed_scale is not None:
            return
        pixels = likelihood.distribution
        mean, count = tf.ones([]), tf.shape(images)[0]
        if weights is not None:
            mean = objectives.mean_of_replicas(tf.reduce_mean(weights), count)
            weights = tf.math.divide_no_nan(weights, mean)
        score = self.score(pixels, tf.cast(images, tf.float32), weights)
        score = objectives.mean_of_replicas(score, count)
        score = tf.where(mean > 0.0, score, 0.0)
        change = CALIBRATION_RATE * 2.0 / self.fisher_information * score
        self._assign(pixels.scale * tf.sqrt(1.0 + change))

    def _assign(self, scale: tf.Tensor) -> None:
        """Sets the weight to the inverse of `scale`: softplus(raw) = scale - min_scale."""
        above = tf.maximum(scale - self.min_scale, 1e-3 * self.min_scale)
        self.raw_scale.assign(above + tf.math.log(-tf.math.expm1(-above)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.fixed_scale}


def weighted_mean(values: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """The mean over all pixels of `values` [N, H, W, C], image n times weights[n]: a scalar."""
    if weights is not None:
        values *= tf.reshape(weights, tf.concat([[-1], tf.ones(tf.rank(values) - 1, tf.int32)], 0))
    return tf.reduce_mean(values)
