"""Keras callbacks that draw what a VAE has learned and steer its training, for any `model.fit`."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.images.grids import grid, pairs, write_png
from tfp_vae.kl_warmup import KLBalance as KLBalance
from tfp_vae.kl_warmup import KLWarmup as KLWarmup
from tfp_vae.priors.base import Prior
from tfp_vae.priors.standard_normal import StandardNormal

QUANTILE_DRAWS = 10_000  # from a prior, to find its quantiles

Logs = dict[str, Any] | None


class Picture(tf_keras.callbacks.Callback):
    """Draws a picture after the first epoch, every `every` epochs, and after the last.

    Subclasses define `draw()`, which returns a uint8 image [H, W, C].

    Args:
      directory: folder for `epoch-0001.png`, ...; made where it is missing.
      every: epochs from one picture to the next.
      log_dir: folder for the same pictures in TensorBoard; None writes none.

    Raises:
      InputError: (a ValueError) `every` below 1.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        every: int = 1,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        if every < 1:
            raise InputError(f"every {every}: expected at least 1")
        self.directory = Path(directory)
        self.every = every
        self.log_dir = log_dir
        self._writer: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.log_dir is not None:
            self._writer = tf.summary.create_file_writer(str(self.log_dir))

    def on_train_end(self, logs: Logs = None) -> None:
        if self._writer is not None:
            self._writer.close()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        number = epoch + 1
        last = number == self.params["epochs"] or self.model.stop_training
        if number != 1 and number % self.every and not last:
            return
        picture = self.draw()
        self.directory.mkdir(parents=True, exist_ok=True)
        write_png(self.directory / f"epoch-{number:04d}.png", picture)
        if self._writer is not None:
            with self._writer.as_default():
                tf.summary.image(self.directory.name, picture[np.newaxis], step=number)

    def draw(self) -> np.ndarray:
        """The picture, uint8 [H, W, C]."""
        raise TypeError(f"{type(self).__name__} does not define draw()")

    def decode(self, latents: np.ndarray | tf.Tensor) -> np.ndarray:
        """The mean of p(x|z) at `latents` [N, D]: [N, H, W, C]."""
        return self.model.decoder(latents, training=False).mean().numpy()


class SampleGrid(Picture):
    """Decoded draws from the prior, with the same seed each time.

    Args:
      latents: [N, D]; None draws `count` of them from `model.prior`.
      count: how many, where `latents` is None.
      seed: of those draws.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        latents: np.ndarray | None = None,
        count: int = 64,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(directory, **kwargs)
        self.latents = latents
        self.count = count
        self.seed = seed

    def draw(self) -> np.ndarray:
        latents = self.latents
        if latents is None:
            seed = tf.constant([self.seed, 0], tf.int32)
            latents = self.model.prior.sample(self.count, seed=seed)
        return grid(self.decode(latents), columns=round(len(latents) ** 0.5))


class ReconstructionGrid(Picture):
    """Images [N, H, W, C] in [0, 1] in the odd rows, what `model.predict` makes of them below.

    Args:
      columns: images in a row.
    """

    def __init__(
        self,
        images: np.ndarray,
        directory: str | os.PathLike[str],
        columns: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(directory, **kwargs)
        self.images = np.asarray(images)
        self.columns = columns

    def draw(self) -> np.ndarray:
        return pairs(self.images, self.model.predict(self.images, verbose=0), self.columns)


class LatentManifold(SampleGrid):
    """A square of decoded latents, for two latents: the prior's quantiles along each axis.

    Args:
      side: images along an edge.

    Raises:
      InputError: (a ValueError) at the start of training, a model of more latents, or of one.
    """

    def __init__(self, directory: str | os.PathLike[str], side: int = 15, **kwargs: Any) -> None:
        super().__init__(directory, **kwargs)
        self.side = side

    def on_train_begin(self, logs: Logs = None) -> None:
        size = self.model.prior_layer.latent_size
        if size != 2:
            raise InputError(f"LatentManifold: model of {size} latents: expected 2")
        super().on_train_begin(logs)

    def draw(self) -> np.ndarray:
        shares = (np.arange(self.side, dtype=np.float32) + 0.5) / self.side
        across, up = self._quantiles(self.model.prior_layer, shares).T
        across, up = np.meshgrid(across, up[::-1])
        self.latents = np.stack([across.ravel(), up.ravel()], axis=-1)
        return super().draw()

    def _quantiles(self, prior: Prior, shares: np.ndarray) -> np.ndarray:
        """Of each latent's marginal, [len(shares), 2]: of draws, where no formula is known."""
        if type(prior) is StandardNormal:
            return np.repeat(tfd.Normal(0.0, 1.0).quantile(shares)[:, np.newaxis], 2, axis=1)
        draws = prior().sample(QUANTILE_DRAWS, seed=tf.constant([self.seed, 1], tf.int32))
        return np.quantile(draws, shares, axis=0).astype(np.float32)


def nonfinite_variable(model: tf_keras.Model) -> str | None:
    """The name of a variable of a model or its optimizer that holds NaN or infinity, or None.

    The optimizer's variables are included: a mean of squared gradients that overflowed stays
    infinite, and the weight that it belongs to would never move again.
    """
    of_optimizer = getattr(getattr(model, "optimizer", None), "variables", ())
    of_optimizer = of_optimizer() if callable(of_optimizer) else of_optimizer  # a legacy one's
    for variable in (*model.variables, *of_optimizer):
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            return variable.name.removesuffix(":0")
    return None


class StopOnNonFinite(tf_keras.callbacks.Callback):
    """Stops training at the first term that is NaN or infinite, and says which in `failure`.

    The logs are means over the steps of an epoch so far, so a term that is not finite at a step
    shows at that step; with `steps_per_execution` above 1, the message names the range of steps
    since the last check. At the end of an epoch the variables are checked too: the update of the
    last step comes after its loss. Keras still ends the epoch and calls the other callbacks.
    """

    TERMS = ("reconstruction_nll", "kl", "loss")  # the sum last, so that its term is named

    def __init__(self) -> None:
        super().__init__()
        self.failure: str | None = None
        self._epoch = 0
        self._first = 0  # first step since the last check, from 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._first = batch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        first, last = self._first + 1, batch + 1
        steps = f"step {last}" if first >= last else f"steps {first}-{last}"
        self._check(logs, f"{steps} of epoch {self._epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._check(logs, f"the end of epoch {epoch + 1}")
        name = None if self.failure else nonfinite_variable(self.model)
        if name is not None:
            self._fail(f"the variable {name} was not finite at the end of epoch {epoch + 1}")

    def _check(self, logs: Logs, when: str) -> None:
        for term in (*self.TERMS, *(f"val_{term}" for term in self.TERMS)):
            if not np.isfinite((logs or {}).get(term, 0.0)):
                self._fail(f"{term} became {(logs or {})[term]} at {when}")

    def _fail(self, failure: str) -> None:
        self.failure = self.failure or failure
        self.model.stop_training = True
