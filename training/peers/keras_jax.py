"""The same VAE in Keras 3 on JAX, trained by its `model.fit`; the parent sets KERAS_BACKEND."""

import math
import sys

import jax
import keras
import numpy as np
from keras import layers, ops
from protocol import serve


class Binarise(layers.Layer):
    """Grey images, uint8, to zeros and ones, afresh at each call."""

    def __init__(self):
        super().__init__(dtype="float32", autocast=False)
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, images):
        draws = keras.random.uniform(ops.shape(images), seed=self.seeds)
        return ops.cast(draws * 255.0 < ops.cast(images, "float32"), "float32")


class Posterior(layers.Layer):
    """A draw from q(z|x) [B, D], of its parameters; adds KL(q(z|x) || N(0, I)) to the loss."""

    def __init__(self, size, full):
        super().__init__(dtype="float32")
        self.size, self.full = size, full
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, params):
        mean, rest = params[:, : self.size], params[:, self.size :]
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        if self.full:
            # The diagonal first, then what is below it, row by row: no gather for the diagonal.
            diagonal, below = rest[:, : self.size], rest[:, self.size :]
            scale = ops.softplus(diagonal) + 1e-5
            rows, columns = jax.numpy.tril_indices(self.size, -1)
            matrix = jax.numpy.zeros((params.shape[0], self.size, self.size))
            matrix = matrix.at[:, rows, columns].set(below)
            z = mean + scale * noise + ops.einsum("bij,bj->bi", matrix, noise)
            trace = ops.sum(ops.square(below), 1) + ops.sum(ops.square(scale), 1)
        else:
            scale = ops.softplus(rest) + 1e-5
            z = mean + scale * noise
            trace = ops.sum(ops.square(scale), 1)
        kl = 0.5 * (ops.sum(ops.square(mean), 1) + trace - self.size)
        kl = kl - ops.sum(ops.log(scale), 1)
        self.add_loss(ops.mean(kl))
        return z

    def compute_output_shape(self, shape):
        return (shape[0], self.size)


class VAE(keras.Model):
    """Grey images, uint8, to logits; the whole loss is added by its layers."""

    def __init__(self, settings):
        super().__init__()
        size, shape = settings.latent_size, settings.images.shape[1:]
        full = settings.posterior == "multivariate_normal_tril"
        count = size + size * (size + 1) // 2 if full else 2 * size
        hidden = {
            "activation": settings.activation,
            "kernel_initializer": "he_normal"
            if settings.activation == "relu"
            else "glorot_uniform",
        }
        networks = dense_networks if settings.network == "dense" else conv_networks
        encoder, decoder = networks(shape, hidden)
        self.binarise = Binarise()
        self.encoder = keras.Sequential([*encoder, layers.Dense(count, dtype="float32")])
        self.posterior = Posterior(size, full)
        self.decoder = keras.Sequential(decoder)

    def call(self, images):
        x = self.binarise(images)
        logits = ops.cast(self.decoder(self.posterior(self.encoder(x))), "float32")
        logits = ops.reshape(logits, (ops.shape(logits)[0], -1))
        x = ops.reshape(x, (ops.shape(x)[0], -1))
        # -log p(x|z) = softplus(logits) - x * logits, summed over the pixels
        self.add_loss(ops.mean(ops.sum(ops.softplus(logits) - x * logits, 1)))
        return logits


def dense_networks(shape, hidden):
    encoder = [layers.Flatten(), layers.Dense(200, **hidden), layers.Dense(200, **hidden)]
    decoder = [layers.Dense(200, **hidden), layers.Dense(200, **hidden)]
    return encoder, [*decoder, layers.Dense(math.prod(shape))]


def conv_networks(shape, hidden):
    rows, columns = shape[0] // 4, shape[1] // 4  # MNIST's are multiples of four
    stride = {"strides": 2, "padding": "same", **hidden}
    encoder = [layers.Conv2D(32, 3, **stride), layers.Conv2D(64, 3, **stride), layers.Flatten()]
    decoder = [
        layers.Dense(rows * columns * 64, **hidden),
        layers.Reshape((rows, columns, 64)),
        layers.Conv2DTranspose(64, 3, **stride),
        layers.Conv2DTranspose(32, 3, **stride),
        layers.Conv2D(shape[2], 3, padding="same"),
    ]
    return encoder, decoder


def build(settings):
    keras.utils.set_random_seed(settings.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if settings.bfloat16 else "float32")
    vae = VAE(settings)
    vae.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        jit_compile=True,
        # Keras would round the steps of an epoch up to whole executions.
        steps_per_execution=math.gcd(settings.steps_per_execution, settings.steps),
    )

    def batches():
        size, generator = settings.batch_size, np.random.default_rng(settings.seed)
        while True:  # from arrays, Keras would end a turn where their images end
            order = generator.permutation(len(settings.images))
            for start in range(0, len(order) - size + 1, size):
                yield (settings.images[order[start : start + size]],)

    def train(clock):
        class Turns(keras.callbacks.Callback):
            done = 0

            def on_epoch_end(self, epoch, logs=None):
                steps = int(vae.optimizer.iterations) - self.done
                if steps != settings.steps:
                    raise RuntimeError(f"{steps} steps in a turn: expected {settings.steps}")
                self.done += steps
                clock()  # the logs are numbers by now, so nothing is still being computed

        vae.fit(
            batches(),
            epochs=sys.maxsize,
            steps_per_epoch=settings.steps,
            callbacks=[Turns()],
            verbose=0,
        )

    return {"keras": keras.__version__, "jax": jax.__version__}, train


serve(build)
