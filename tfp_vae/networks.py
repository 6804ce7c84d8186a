"""Trunks: tensors in, tensors out. What the numbers mean is the distribution layers' business.

A network is two functions. `encode` turns images [B, H, W, C] into features [B, F]; `decode` turns
latents [B, D] into the parameters of a likelihood [B, parameters * H * W * C], in the order that
`tfp.layers` reads them: all of the first parameter, then all of the second. `start`, the parameters
[parameters, H, W, C] that every latent decodes to at first, are what its last layer adds.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import tf_keras

tfkl = tf_keras.layers

# Hidden layers, each started so that the signal keeps its size through them: He et al. (2015) for
# rectifiers, Glorot and Bengio (2010) for tanh.
ACTIVATIONS = {
    "relu": {"activation": "relu", "kernel_initializer": "he_normal"},
    "tanh": {"activation": "tanh", "kernel_initializer": "glorot_uniform"},
}
CONV_FILTERS = (32, 64)  # each convolution halves height and width
HIDDEN_UNITS = (200, 200)  # of the dense network


class Network(NamedTuple):
    encode: Callable  # (images, activation, **options) -> features
    decode: Callable  # (latents, start, activation, **options) -> params
    options: tuple[str, ...]  # what else can be chosen about it


def _dense_stack(x, units, activation):
    for size in units:
        x = tfkl.Dense(size, **ACTIVATIONS[activation])(x)
    return x


def dense_encode(images, activation, hidden_units=HIDDEN_UNITS):
    """Fully connected layers on the pixels; no hidden units make it linear."""
    return _dense_stack(tfkl.Flatten()(images), hidden_units, activation)


def dense_decode(latents, start, activation, hidden_units=HIDDEN_UNITS):
    """Fully connected layers, the encoder's in reverse, and a linear one to the parameters."""
    x = _dense_stack(latents, reversed(hidden_units), activation)
    return _applied(tfkl.Dense(start.size), x, bias=start.ravel())


def _applied(layer, x, bias):
    """`layer(x)`, its bias set: as an initializer all of it would stand in the saved config."""
    y = layer(x)
    layer.bias.assign(bias)
    return y


def conv_encode(images, activation):
    """Convolutions of stride two."""
    hidden = ACTIVATIONS[activation]
    x = images
    for filters in CONV_FILTERS:
        x = tfkl.Conv2D(filters, 3, strides=2, padding="same", **hidden)(x)
    return tfkl.Flatten()(x)


def conv_decode(latents, start, activation):
    """The encoder in reverse: transposed convolutions of stride two, cropped to odd sizes."""
    hidden = ACTIVATIONS[activation]
    parameters, height, width, channels = start.shape
    step = 2 ** len(CONV_FILTERS)
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    x = tfkl.Dense(rows * columns * CONV_FILTERS[-1], **hidden)(latents)
    x = tfkl.Reshape((rows, columns, CONV_FILTERS[-1]))(x)
    for filters in reversed(CONV_FILTERS):
        x = tfkl.Conv2DTranspose(filters, 3, strides=2, padding="same", **hidden)(x)
    below, right = rows * step - height, columns * step - width
    if below or right:  # Keras would copy all of x, and its gradient, to crop nothing
        x = tfkl.Cropping2D(((0, below), (0, right)))(x)
    last = tfkl.Conv2D(parameters * channels, 3, padding="same")
    x = _applied(last, x, bias=start.mean(axis=(1, 2)).ravel())
    x = tfkl.Reshape((height * width, parameters, channels))(x)
    return tfkl.Flatten()(tfkl.Permute((2, 1, 3))(x))


NETWORKS = {
    "dense": Network(dense_encode, dense_decode, options=("hidden_units",)),
    "conv": Network(conv_encode, conv_decode, options=()),
}
