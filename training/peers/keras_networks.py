"""The trunks of `tfp_vae.networks`, of the layers of Keras 3 or of tf_keras.

Each function takes the module of layers, and settings with `network`, `activation` and `filters`.
"""

import math

UNITS = (200, 200)


def encode(layers, settings, x):
    """Features [B, F] of images [B, H, W, C]."""
    hidden, plain = _hidden(settings), _plain(settings)
    if settings.network == "dense":
        x = layers.Flatten()(x)
        for units in UNITS:
            x = layers.Dense(units, **hidden)(x)
        return x
    for filters in settings.filters:
        if settings.network == "resnet":
            x = layers.Conv2D(filters, 4, strides=2, padding="same", **plain)(x)
            x = _block(layers, settings, x, filters)
        else:
            x = layers.Conv2D(filters, 3, strides=2, padding="same", **hidden)(x)
    if settings.network == "resnet":
        x = layers.Activation(settings.activation)(x)
    return layers.Flatten()(x)


def decode(layers, settings, z, image_shape):
    """Latents [B, D] to one number for each pixel: [B, H, W, C], or of dense layers [B, H * W * C].

    Height and width are multiples of two to the power of the number of levels.
    """
    hidden, plain, levels = _hidden(settings), _plain(settings), settings.filters
    if settings.network == "dense":
        for units in reversed(UNITS):
            z = layers.Dense(units, **hidden)(z)
        return layers.Dense(math.prod(image_shape))(z)
    rows, columns = (side // 2 ** len(levels) for side in image_shape[:2])
    resnet, channels = settings.network == "resnet", image_shape[2]
    x = layers.Dense(rows * columns * levels[-1], **(plain if resnet else hidden))(z)
    x = layers.Reshape((rows, columns, levels[-1]))(x)
    if not resnet:
        for filters in reversed(levels):
            x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", **hidden)(x)
        return layers.Conv2D(channels, 3, padding="same")(x)
    for filters, below in zip(levels[::-1], (*levels[-2::-1], channels), strict=True):
        x = layers.Activation(settings.activation)(_block(layers, settings, x, filters))
        x = layers.Conv2DTranspose(below, 4, strides=2, padding="same", **plain)(x)
    return x


def _block(layers, settings, x, filters):
    y = layers.Activation(settings.activation)(x)
    y = layers.Conv2D(filters, 3, padding="same", **_hidden(settings))(y)
    y = layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(y)
    return layers.Add()([x, y])


def _hidden(settings):
    return {"activation": settings.activation, **_plain(settings)}


def _plain(settings):
    tanh = settings.activation == "tanh"
    return {"kernel_initializer": "glorot_uniform" if tanh else "he_normal"}
