"""The least a step can cost: its matrix products (or convolutions), forward and backward, alone.

No activation, loss, noise, optimizer or input. Products run in TensorFlow with and without XLA and,
dense ones in float32, in NumPy; the fastest of them is timed.
"""

import timeit
from itertools import pairwise

import numpy as np
import tensorflow as tf
from protocol import serve

from tfp_vae.networks import NETWORKS

HIDDEN_UNITS = NETWORKS.options["hidden_units"].default


def dense_layers(settings, count):
    """("matmul", [B, in], [in, out]) of each product."""
    pixels = int(np.prod(settings.images.shape[1:]))
    encoder = [pixels, *HIDDEN_UNITS, count]
    decoder = [settings.latent_size, *reversed(HIDDEN_UNITS), pixels]
    sizes = [*pairwise(encoder), *pairwise(decoder)]
    return [("matmul", (settings.batch_size, pair[0]), pair) for pair in sizes]


def conv_layers(settings, count):
    """(operation, shape of its input, shape of its kernel) of each convolution and product."""
    height, width, channels = settings.images.shape[1:]
    batch, size, levels = settings.batch_size, settings.latent_size, settings.filters
    resnet = settings.network == "resnet"
    side = 4 if resnet else 3  # of the kernels that halve or double
    features = levels[-1] * height * width // 4 ** len(levels)

    def maps(level, filters):  # the shape of feature maps after so many halvings
        return (batch, height // 2**level, width // 2**level, filters)

    def block(level, filters):
        return [("same", maps(level, filters), (3, 3, filters, filters))] * (2 if resnet else 0)

    down, up = [], []
    for level, (before, after) in enumerate(pairwise((channels, *levels))):
        down.append(("down", maps(level, before), (side, side, before, after)))
        down += block(level + 1, after)
    filters = (*reversed(levels), channels) if resnet else (levels[-1], *reversed(levels))
    for level, (before, after) in zip(range(len(levels), 0, -1), pairwise(filters), strict=True):
        up += block(level, before)
        up.append(("up", maps(level, before), (side, side, after, before)))
    if not resnet:
        up.append(("same", maps(0, levels[0]), (3, 3, levels[0], channels)))
    return [
        *down,
        ("matmul", (batch, features), (features, count)),
        ("matmul", (batch, size), (size, features)),
        *up,
    ]


def forward(kind, x, kernel):
    if kind == "matmul":
        return tf.matmul(x, kernel)
    if kind == "up":
        batch, height, width, _ = x.shape
        shape = (batch, 2 * height, 2 * width, kernel.shape[2])
        return tf.nn.conv2d_transpose(x, kernel, shape, strides=2, padding="SAME")
    return tf.nn.conv2d(x, kernel, strides=2 if kind == "down" else 1, padding="SAME")


def tensorflow_products(layers, dtype, jit_compile):
    """A function that does every product once; storing the results keeps XLA from skipping any."""
    inputs = [tf.Variable(tf.random.normal(shape, dtype=dtype)) for _, shape, _ in layers]
    kernels = [tf.Variable(tf.random.normal(shape, dtype=dtype)) for _, _, shape in layers]
    outputs = [
        tf.Variable(forward(kind, x, kernel))
        for (kind, _, _), x, kernel in zip(layers, inputs, kernels, strict=True)
    ]
    to_inputs, to_kernels = ([tf.Variable(v) for v in vs] for vs in (inputs, kernels))

    @tf.function(jit_compile=jit_compile)
    def products():
        for i, (kind, _, _) in enumerate(layers):
            x, kernel, error = inputs[i].value(), kernels[i].value(), outputs[i].value()
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                y = forward(kind, x, kernel)
            # The first layer's input is the image, which needs no gradient.
            back = tape.gradient(y, [kernel] if i == 0 else [kernel, x], error)
            outputs[i].assign(y)
            to_kernels[i].assign(back[0])
            if i:
                to_inputs[i].assign(back[1])

    return products


def numpy_products(layers):
    draw = np.random.default_rng(0).standard_normal
    inputs = [draw(shape, np.float32) for _, shape, _ in layers]
    kernels = [draw(shape, np.float32) for _, _, shape in layers]
    outputs = [x @ kernel for x, kernel in zip(inputs, kernels, strict=True)]
    to_kernels = [np.empty_like(kernel) for kernel in kernels]
    to_inputs = [np.empty_like(x) for x in inputs]

    def products():
        for i, (x, kernel, y) in enumerate(zip(inputs, kernels, outputs, strict=True)):
            np.matmul(x, kernel, out=y)
            np.matmul(x.T, y, out=to_kernels[i])
            if i:
                np.matmul(y, kernel.T, out=to_inputs[i])

    return products


def seconds(products):
    """The least time of five runs, each of as many repeats as take a tenth of a second."""
    products()
    once = timeit.timeit(products, number=1)
    repeats = max(1, round(0.1 / once))
    return min(timeit.repeat(products, number=repeats, repeat=5)) / repeats


def build(settings):
    size = settings.latent_size
    full = settings.posterior == "multivariate_normal_tril"
    count = size + size * (size + 1) // 2 if full else 2 * size
    layers = (dense_layers if settings.network == "dense" else conv_layers)(settings, count)
    dtype = tf.bfloat16 if settings.bfloat16 else tf.float32
    choices = {
        "TensorFlow": tensorflow_products(layers, dtype, jit_compile=False),
        "TensorFlow with XLA": tensorflow_products(layers, dtype, jit_compile=True),
    }
    if settings.network == "dense" and not settings.bfloat16:
        choices["NumPy"] = numpy_products(layers)
    best = min(choices, key=lambda name: seconds(choices[name]))

    def train(clock):
        while True:
            for _ in range(settings.steps):
                choices[best]()
            clock()

    return {"products": best}, train


serve(build)
