"""The same VAE in Keras 3 on JAX, trained by its `model.fit`; the parent sets KERAS_BACKEND."""

import math
import sys

import jax
import keras
import keras_networks
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


class FittedScale(layers.Layer):
    """-log N(x; mean, scale) of each image [B]; then the scale follows the mean squared error."""

    def __init__(self, deviation):
        super().__init__(dtype="float32", autocast=False)
        start = keras.initializers.Constant(deviation**2)
        self.variance = self.add_weight(shape=(), initializer=start, trainable=False)

    def call(self, mean, x):
        variance = ops.maximum(self.variance, 1e-6)
        errors = ops.sum(ops.square(x - mean), 1)
        now = ops.stop_gradient(ops.mean(errors)) / x.shape[1]
        self.variance.assign(0.9 * self.variance + 0.1 * now)
        constants = x.shape[1] * ops.log(2.0 * math.pi * variance)
        return 0.5 * (errors / variance + constants)


class VAE(keras.Model):
    """Grey images, uint8, to parameters of pixels; the whole loss is added by its layers."""

    def __init__(self, settings):
        super().__init__()
        size, shape = settings.latent_size, settings.images.shape[1:]
        full = settings.posterior == "multivariate_normal_tril"
        count = size + size * (size + 1) // 2 if full else 2 * size
        normal = settings.likelihood == "independent_normal"
        self.binarise = None if normal else Binarise()
        self.fitted = FittedScale(settings.deviation) if normal else None
        images, latents = keras.Input(shape), keras.Input((size,))
        entering = images
        if normal:  # binary images enter as they are
            entering = layers.Normalization(
                mean=settings.channel_means, variance=np.square(settings.channel_deviations)
            )(images)
            entering = layers.GaussianNoise(settings.input_noise, seed=2)(entering)
        features = keras_networks.encode(layers, settings, entering)
        self.encoder = keras.Model(images, layers.Dense(count, dtype="float32")(features))
        self.posterior = Posterior(size, full)
        pixels = keras_networks.decode(layers, settings, latents, shape)
        self.decoder = keras.Model(latents, layers.Flatten(dtype="float32")(pixels))

    def call(self, images):
        x = ops.cast(images, "float32") / 255.0 if self.fitted else self.binarise(images)
        pixels = self.decoder(self.posterior(self.encoder(x)))
        x = ops.reshape(x, (ops.shape(x)[0], -1))
        if self.fitted:
            nll = self.fitted(pixels, x)
        else:  # -log p(x|z) = softplus(logits) - x * logits, summed over the pixels
            nll = ops.sum(ops.softplus(pixels) - x * pixels, 1)
        self.add_loss(ops.mean(nll))
        return pixels


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
