"""What every likelihood p(x|z) shares: parameters for each pixel, an image as one event."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_vae.layers.base import DistributionLayer, bound


class PerPixel(DistributionLayer):
    """A likelihood with one parameter for each pixel and channel.

    Attributes:
      in_pixel_units: whether its first parameters are locations of pixels, black 0 and white 1.
      spread: variance of the initial kernel of the decoder's last layer, as `Network.decode` takes
        it. Small for pixel units, which are small: the decoder's network starts at the mean image
        whatever the latents are.
    """

    in_pixel_units = True
    spread = 0.01

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

    def start(self, mean: np.ndarray, deviation: float) -> np.ndarray:
        """The parameters before training, [parameters, H, W, C].

        Args:
          mean: of the training images, [H, W, C] in [0, 1].
          deviation: root mean squared deviation of their pixels from `mean`.
        """
        raise TypeError(f"{type(self).__name__} does not define start()")

    def reshaped(self, params: tf.Tensor) -> tf.Tensor:
        """`params` [..., size], bounded, as [..., *event_shape]."""
        params = bound(tf.convert_to_tensor(params))
        return tf.reshape(params, tf.concat([tf.shape(params)[:-1], self.event_shape], axis=0))

    def independent(self, pixels: tfd.Distribution) -> tfd.Independent:
        """`pixels`, a distribution of each pixel, as one of whole images."""
        return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "event_shape": self.event_shape}
