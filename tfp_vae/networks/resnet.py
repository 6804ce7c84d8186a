"""Residual blocks on feature maps, without normalisation."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks import pyramid
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel, with_bias
from tfp_vae.networks.blocks import Residual
from tfp_vae.networks.dropout import dropped
from tfp_vae.networks.on_maps import OnMaps

tfkl = tf_keras.layers


class ResNet(OnMaps):
    """At each level a convolution of stride two, then a residual block; the decoder in reverse.

    A block is x + conv(act(conv(act(x)))) (He et al., "Identity mappings in deep residual
    networks", 2016). Its last kernel starts at 0: a block starts as the identity, and a network of
    any depth keeps the size of its signal without normalisation (Zhang et al., "Fixup
    initialization", 2019).

    Args:
      activation: a name in `ACTIVATIONS`.
      filters: of each level of the encoder, and in reverse of the decoder; () is
        `pyramid.default_filters`.
      dropout: rate of the `CountedDropout` after the activations that follow blocks.
    """

    maps = 2

    def __init__(self, activation: str, filters: tuple[int, ...], dropout: float = 0.0) -> None:
        self.activation = activation
        self.dropout = dropout
        self.hidden = ACTIVATIONS[activation]
        self.filters = filters

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The smallest feature map [B, h, w, F] of images [B, H, W, C]."""
        x = images
        for filters in self.levels(*images.shape[1:3]):
            x = tfkl.Conv2D(filters, pyramid.KERNEL, strides=2, padding="same", **self.entry)(x)
            x = self.block(x, filters)
        return self._activated(x)

    def parameters(self, x: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) from the smallest feature map, as `Network.decode`."""
        parameters, height, width, channels = start.shape
        levels = self.levels(height, width)
        for filters, below in zip(levels[::-1], (*levels[-2::-1], None), strict=True):
            x = self._activated(self.block(x, filters))
            if below is not None:
                x = self._doubled(below, **self.entry)(x)
        last = self._doubled(parameters * channels, kernel_initializer=last_kernel(spread))
        x = with_bias(last, x, bias=start[:, 0, 0].ravel())
        return pyramid.flat_parameters(pyramid.cropped(x, height, width), parameters)

    @property
    def entry(self) -> dict[str, Any]:
        return {"kernel_initializer": self.hidden["kernel_initializer"]}

    def _activated(self, x: tf.Tensor) -> tf.Tensor:
        return dropped(tfkl.Activation(self.hidden["activation"])(x), self.dropout)

    def _doubled(self, filters: int, **options: Any) -> tf_keras.layers.Layer:
        return tfkl.Conv2DTranspose(filters, pyramid.KERNEL, strides=2, padding="same", **options)

    def block(self, x: tf.Tensor, filters: int) -> tf.Tensor:
        """A residual block, [B, H, W, filters] to the same shape."""
        return Residual(3, filters, self.activation, self.maps)(x)
