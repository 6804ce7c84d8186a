"""All that training depends on, saved as it goes, and read back bit for bit."""

import re
import sys
import time
from pathlib import Path

import tensorflow as tf
import tf_keras

from tfp_vae import errors
from training.callbacks import nonfinite_variable
from training.config import TrainingError

KEPT = 2  # the last one, and the one before, where the last is torn
SECONDS = 120  # between two checkpoints at most, however long an epoch is
SHARE = 0.05  # of the time that saving may take; epochs of a moment are not each worth it
# What TensorFlow raises at a file that is torn, or that is of another model; where it is short of
# bytes, IndexError.
_UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, IndexError)


class BestWeights(tf_keras.callbacks.Callback):
    """Keeps the trainable weights of the epoch of the best `val_elbo`, in variables."""

    def __init__(self, model):
        super().__init__()
        self.elbo = tf.Variable(-float("inf"), dtype=tf.float64, trainable=False)
        self.weights = [tf.Variable(weight, trainable=False) for weight in model.trainable_weights]

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_elbo"] > self.elbo.numpy():
            self.elbo.assign(logs["val_elbo"])
            for kept, weight in zip(self.weights, self.model.trainable_weights, strict=True):
                kept.assign(weight)

    def restore(self):
        """Gives the model those weights."""
        for kept, weight in zip(self.weights, self.model.trainable_weights, strict=True):
            weight.assign(kept)


class Checkpoints(tf_keras.callbacks.Callback):
    """Saves after every epoch that is not a moment, within long ones, and on an interrupt.

    A checkpoint holds the weights, the optimizer, the weight of the KL, the count of the
    posterior's draws, the running means of the epoch and the best weights so far. TensorFlow writes
    it under another name first. What is not finite is not saved: the last good one stays.

    Args:
      model: the `VAE`, compiled; its optimizer is built.
      best: a `BestWeights`.
      steps: of an epoch.
      folder: where to write, there already.
      interrupts: an `interrupts.Interrupts`.
    """

    def __init__(self, model, best, steps, folder, interrupts):
        super().__init__()
        self.steps = steps
        self.folder = Path(folder)
        self._interrupts = interrupts
        self._metrics = model.metrics
        state = {"model": model, "best_elbo": best.elbo, "best_weights": best.weights}
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**state), str(folder), max_to_keep=KEPT, checkpoint_name="step"
        )
        self._optimizer = model.optimizer
        self._resumed_metrics = None
        self._saved, self._cost = time.monotonic(), 0.0

    @property
    def step(self):
        """Steps of training done."""
        return int(self._optimizer.iterations.numpy())

    @property
    def last(self):
        """What the last checkpoint's files are called, up to their suffix; None without one."""
        return self._manager.latest_checkpoint

    def restore(self, folder):
        """Reads the last checkpoint in a folder that can be read; none at all is the beginning.

        Raises:
          TrainingError: there are some, and none can be read.
        """
        found = sorted(folder.glob("step-*.index"), key=_number, reverse=True)
        torn = []
        for index in found:
            try:
                status = self._manager.checkpoint.restore(str(index.with_suffix("")))
                status.assert_consumed()
            except _UNREADABLE as error:
                why = errors.reason(error)
                torn.append(f"{index}: cannot be read ({why}): continuing from an older one")
            else:
                self._resumed_metrics = [metric.get_weights() for metric in self._metrics]
                for line in torn:
                    print(line, file=sys.stderr)
                return
        if found:
            raise TrainingError(f"no checkpoint in {folder} can be read: discard it with --restart")

    def maybe_load_initial_counters_from_ckpt(self, steps_per_epoch, initial_epoch, mode):
        """(epoch, step in it) to begin with: what `fit` asks a model's `_training_state`."""
        return divmod(self.step, self.steps)

    def on_train_begin(self, logs=None):
        # Where tf_keras's own BackupAndRestore puts itself; it saves no means, and one checkpoint.
        self.model._training_state = self
        self._saved = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self._resumed_metrics is not None and self.step % self.steps:
            for metric, values in zip(self._metrics, self._resumed_metrics, strict=True):
                metric.set_weights(values)  # `fit` has just reset them
        self._resumed_metrics = None

    def on_train_batch_end(self, batch, logs=None):
        if self.step % self.steps == 0:
            return  # the end of the epoch comes next
        late = time.monotonic() - self._saved > SECONDS
        self._save_or_end(late)

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params["epochs"]
        worth_it = self._cost <= SHARE * (time.monotonic() - self._saved)
        self._save_or_end(last or worth_it)

    def _save_or_end(self, save):
        interrupted, save = self._of_any_worker(self._interrupts.number is not None, save)
        if interrupted or save:
            self.save()
        if interrupted:
            self._interrupts.end()

    def _of_any_worker(self, *flags):
        """Which flags any has: clocks and signals differ, and all have to save at one step."""
        strategy = self.model.distribute_strategy
        if strategy.cluster_resolver is None:
            return flags
        numbers = strategy.run(tf.constant, args=([float(flag) for flag in flags],))
        return (strategy.reduce("SUM", numbers, axis=None) > 0).numpy()

    def on_train_end(self, logs=None):
        self.model._training_state = None

    def save(self):
        """Saves now, where all is finite."""
        started = time.monotonic()
        self.folder.stat()  # TensorFlow would make a folder that someone has removed
        if nonfinite_variable(self.model) is None:
            self._manager.save(checkpoint_number=self.step)
        self._saved = time.monotonic()
        self._cost = self._saved - started


def _number(index):
    return int(re.search(r"\d+", index.stem).group())
