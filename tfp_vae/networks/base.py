"""What a network is, and what every network shares."""

from typing import Protocol

import numpy as np
import tensorflow as tf
import tf_keras


class Network(Protocol):
    """Images to features, and latents to the parameters of a likelihood.

    Attributes:
      linear_path: whether it learns photographs better beside a linear path that starts as PCA.
    """

    linear_path: bool

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Features [B, F] of images [B, H, W, C]."""

    def start_image(self, mean: np.ndarray) -> np.ndarray:
        """The image that the decoder starts at, for a mean image of [H, W, C].

        It is the mean image where the last layer has a bias for each pixel, and the mean of each
        channel at every position where it has one for each channel.
        """

    def decode(self, latents: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D].

        Args:
          latents: [B, D].
          start: the parameters [P, H, W, C] that every latent decodes to before training, those
            of `start_image`: the bias of the last layer.
          spread: variance of the initial kernel of the last layer, in units of Glorot and Bengio's.

        Returns:
          [B, P * H * W * C], in the order that `tfp.layers` reads them: all of the first parameter,
          then all of the second.
        """


def last_kernel(spread: float) -> tf_keras.initializers.Initializer:
    """The initial kernel of a decoder's last layer; `glorot_uniform` for a spread of 1."""
    if not spread:
        return tf_keras.initializers.Zeros()
    return tf_keras.initializers.VarianceScaling(spread, "fan_avg", "uniform")


def with_bias(layer: tf_keras.layers.Layer, x: tf.Tensor, bias: np.ndarray) -> tf.Tensor:
    """`layer(x)`; then sets the bias. A constant initializer would write it into the config."""
    y = layer(x)
    layer.bias.assign(bias)
    return y
