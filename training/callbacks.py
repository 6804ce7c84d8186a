"""Keras callbacks that draw what a VAE has learned and steer its training, for any `model.fit`."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_vae.images import grid, pairs, write_png
from tfp_vae.regularizers import KLDivergenceRegularizer

tfd = tfp.distributions


class Picture(tf_keras.callbacks.Callback):
    """Draws a picture after the first epoch, every `every` epochs, and after the last.

    Subclasses define `draw()`, which returns a uint8 image [H, W, C].

    Args:
      directory: folder for `epoch-0001.png`, ...; made where it is missing.
      every: epochs from one picture to the next.
      log_dir: folder for the same pictures in TensorBoard; None writes none.
    """

    def __init__(self, directory, every=1, log_dir=None):
        super().__init__()
        self.directory = Path(directory)
        self.every = every
        self.log_dir = log_dir
        self._writer = None

    def on_train_begin(self, logs=None):
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()

    def on_epoch_end(self, epoch, logs=None):
        number = epoch + 1
        if number != 1 and number % self.every and number != self.params["epochs"]:
            return
        picture = self.draw()
        self.directory.mkdir(parents=True, exist_ok=True)
        write_png(self.directory / f"epoch-{number:04d}.png", picture)
        if self._writer is not None:
            with self._writer.as_default():
                tf.summary.image(self.directory.name, picture[np.newaxis], step=number)

    def decode(self, latents):
        """The mean of p(x|z) at `latents` [N, D]: [N, H, W, C]."""
        return self.model.decoder(latents, training=False).mean().numpy()


class SampleGrid(Picture):
    """Decoded draws from the prior, the same latents each time.

    Args:
      latents: [N, D]; None draws `count` of them from `model.prior`.
      count: how many, where `latents` is None.
      seed: of those draws.
    """

    def __init__(self, directory, latents=None, count=64, seed=0, **kwargs):
        super().__init__(directory, **kwargs)
        self.latents = latents
        self.count = count
        self.seed = seed

    def draw(self):
        if self.latents is None:
            seed = tf.constant([self.seed, 0], tf.int32)
            self.latents = self.model.prior.sample(self.count, seed=seed)
        return grid(self.decode(self.latents), columns=round(len(self.latents) ** 0.5))


class ReconstructionGrid(Picture):
    """Images [N, H, W, C] in [0, 1] in the odd rows, what `model.predict` makes of them below.

    Args:
      columns: images in a row.
    """

    def __init__(self, images, directory, columns=10, **kwargs):
        super().__init__(directory, **kwargs)
        self.images = np.asarray(images)
        self.columns = columns

    def draw(self):
        return pairs(self.images, self.model.predict(self.images, verbose=0), self.columns)


class LatentManifold(SampleGrid):
    """A square of decoded latents, for two latents: the quantiles of N(0, 1) along each axis.

    Args:
      side: images along an edge.
    """

    def __init__(self, directory, side=15, **kwargs):
        edge = tfd.Normal(0.0, 1.0).quantile((np.arange(side, dtype=np.float32) + 0.5) / side)
        across, up = np.meshgrid(edge, edge[::-1])
        latents = np.stack([across.ravel(), up.ravel()], axis=-1)
        super().__init__(directory, latents=latents, **kwargs)


class KLWarmup(tf_keras.callbacks.Callback):
    """Raises the weight of the KL linearly from 0 to `beta` over the first `epochs` epochs.

    It moves the weight of every `tfp_vae.KLDivergenceRegularizer` in the model before each
    execution of steps where the number of steps in an epoch is known, otherwise epoch by epoch.

    Raises:
      ValueError: no epochs.
    """

    def __init__(self, epochs, beta=1.0):
        super().__init__()
        if epochs <= 0:
            raise ValueError(
                f"epochs {epochs}: expected at least 1; without it there is no warm-up"
            )
        self.epochs = epochs
        self.beta = beta
        self._epoch = 0

    def on_train_begin(self, logs=None):
        parts = self.model.submodules
        self._weights = [p.weight for p in parts if isinstance(p, KLDivergenceRegularizer)]

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._move(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.params.get("steps") and self._epoch < self.epochs:
            self._move(self._epoch + batch / self.params["steps"])

    def _move(self, epochs_done):
        for weight in self._weights:
            weight.assign(self.beta * min(1.0, epochs_done / self.epochs))


def nonfinite_variable(model):
    """The name of a variable of a model or its optimizer that holds NaN or infinity, or None.

    The optimizer's count: a mean of squared gradients that overflowed stays infinite, and the
    weight that it belongs to would never move again.
    """
    of_optimizer = getattr(getattr(model, "optimizer", None), "variables", ())
    of_optimizer = of_optimizer() if callable(of_optimizer) else of_optimizer  # a legacy one's
    for variable in (*model.variables, *of_optimizer):
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            return variable.name.removesuffix(":0")
    return None


class StopOnNonFinite(tf_keras.callbacks.Callback):
    """Stops training at the first term that is NaN or infinite, and says which in `failure`.

    The terms are means over the steps of an epoch so far, so that one which fails at a step is seen
    there; with `steps_per_execution` above 1 the steps between two looks are named. At the end of
    an epoch the weights are looked at too: its last step may have ruined them, after its loss.
    Keras ends the epoch all the same, and calls the other callbacks.
    """

    TERMS = ("reconstruction_nll", "kl", "loss")  # a part before their sum

    def __init__(self):
        super().__init__()
        self.failure = None
        self._epoch = 0
        self._first = 0  # step since the last look, from 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self._first = batch

    def on_train_batch_end(self, batch, logs=None):
        first, last = self._first + 1, batch + 1
        steps = f"step {last}" if first >= last else f"steps {first}-{last}"
        self._check(logs, f"{steps} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs, f"the end of epoch {epoch + 1}")
        name = None if self.failure else nonfinite_variable(self.model)
        if name is not None:
            self._fail(f"the variable {name} was not finite at the end of epoch {epoch + 1}")

    def _check(self, logs, when):
        for term in (*self.TERMS, *(f"val_{term}" for term in self.TERMS)):
            if not np.isfinite((logs or {}).get(term, 0.0)):
                self._fail(f"{term} became {logs[term]} at {when}")

    def _fail(self, failure):
        self.failure = self.failure or failure
        self.model.stop_training = True
