"""Trunks: tensors in, tensors out. What the numbers mean is the distribution layers' business.

A network is two functions. `encode` turns images [B, H, W, C] into features [B, F]; `decode` turns
latents [B, D] into the parameters of a likelihood [B, parameters * H * W * C], in the order that
`tfp.layers` reads them: all of the first parameter, then all of the second.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tf_keras

tfkl = tf_keras.layers

# He et al. (2015): with rectifiers the signal keeps its size through the layers.
RECTIFIED = {"activation": "relu", "kernel_initializer": "he_normal"}
CONV_FILTERS = (32, 64)  # each convolution halves height and width


HIDDEN_UNITS = (200, 200)  # of the dense network


class Network(NamedTuple):
    encode: Callable  # (images, **options) -> features
    decode: Callable  # (latents, image_shape, parameters, **options) -> params
    options: tuple[str, ...]  # what can be chosen about it


def _dense_stack(x, units):
    for size in units:
        x = tfkl.Dense(size, **RECTIFIED)(x)
    return x


def dense_encode(images, hidden_units=HIDDEN_UNITS):
    """Fully connected layers on the pixels; no hidden units make it linear."""
    return _dense_stack(tfkl.Flatten()(images), hidden_units)


def dense_decode(latents, image_shape, parameters, hidden_units=HIDDEN_UNITS):
    """Fully connected layers, the encoder's in reverse, and a linear one to the parameters."""
    x = _dense_stack(latents, reversed(hidden_units))
    return tfkl.Dense(parameters * math.prod(image_shape))(x)


def conv_encode(images):
    """Convolutions of stride two."""
    x = images
    for filters in CONV_FILTERS:
        x = tfkl.Conv2D(filters, 3, strides=2, padding="same", **RECTIFIED)(x)
    return tfkl.Flatten()(x)


def conv_decode(latents, image_shape, parameters):
    """The encoder in reverse: transposed convolutions of stride two, cropped to odd sizes."""
    height, width, channels = image_shape
    step = 2 ** len(CONV_FILTERS)
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    x = tfkl.Dense(rows * columns * CONV_FILTERS[-1], **RECTIFIED)(latents)
    x = tfkl.Reshape((rows, columns, CONV_FILTERS[-1]))(x)
    for filters in reversed(CONV_FILTERS):
        x = tfkl.Conv2DTranspose(filters, 3, strides=2, padding="same", **RECTIFIED)(x)
    x = tfkl.Cropping2D(((0, rows * step - height), (0, columns * step - width)))(x)
    x = tfkl.Conv2D(parameters * channels, 3, padding="same")(x)
    x = tfkl.Reshape((height * width, parameters, channels))(x)
    return tfkl.Flatten()(tfkl.Permute((2, 1, 3))(x))


NETWORKS = {
    "dense": Network(dense_encode, dense_decode, options=("hidden_units",)),
    "conv": Network(conv_encode, conv_decode, options=()),
}
