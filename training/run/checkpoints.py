"""Checkpoints of the whole state of training, from which a run continues bit for bit."""

import re
import sys
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae import errors
from tfp_vae.callbacks import nonfinite_variable
from training.errors import TrainingError
from training.run.interrupts import Interrupts

MAX_TO_KEEP = 2  # the last one, and the one before in case the last is damaged
CHECKPOINT_INTERVAL_S = 120  # within an epoch
MAX_SAVE_FRACTION = 0.05  # of the time, for saving at the end of epochs
# What TensorFlow raises for a damaged file or for another model; IndexError for a truncated index.
_UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, IndexError)


class BestWeights(tf_keras.callbacks.Callback):
    """Keeps the learned weights of the epoch of the best `val_elbo`, in variables.

    Training ends where the best epoch is `patience` epochs back.

    Args:
      model: a `VAE`, or a `CodePriorModel`.
      patience: in epochs; 0 for no end.
    """

    def __init__(self, model: tf_keras.Model, patience: int = 0) -> None:
        super().__init__()
        self.patience = patience
        self.elbo = tf.Variable(-float("inf"), dtype=tf.float64, trainable=False)
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)  # the best one, from 1
        self.weights = [tf.Variable(weight, trainable=False) for weight in model.learned_weights]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs["val_elbo"] > self.elbo.numpy():
            self.elbo.assign(logs["val_elbo"])
            self.epoch.assign(epoch + 1)
            for kept, weight in zip(self.weights, self.model.learned_weights, strict=True):
                kept.assign(weight)
        if self.out_of_patience(epoch + 1):
            self.model.stop_training = True

    def out_of_patience(self, done: int) -> bool:
        """Whether no epoch since the best one, `patience` ago, was better, after `done` epochs."""
        return bool(self.patience) and done - int(self.epoch.numpy()) >= self.patience

    def restore(self) -> None:
        """Assigns the kept weights to the model."""
        for kept, weight in zip(self.weights, self.model.learned_weights, strict=True):
            weight.assign(kept)


class Checkpoints(tf_keras.callbacks.Callback):
    """Saves after epochs, every two minutes within one, and when a signal has come.

    A checkpoint holds the weights, the optimizer, the weight of the KL, the count of the
    posterior's draws, the running means of the epoch and the best weights so far. TensorFlow writes
    it under another name first. If any variable is NaN or Inf, the previous checkpoint is kept.
    After an epoch, a checkpoint is saved where that takes at most `MAX_SAVE_FRACTION` of the time.

    Args:
      model: as `BestWeights` takes it, compiled; its optimizer is built.
      best: holds the best weights so far.
      steps: in an epoch.
      folder: where to write; it exists.
      interrupts: notes the signals.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        best: BestWeights,
        steps: int,
        folder: Path,
        interrupts: Interrupts,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.folder = Path(folder)
        self._interrupts = interrupts
        self._metrics = model.metrics
        state = {
            "model": model,
            "best_elbo": best.elbo,
            "best_epoch": best.epoch,
            "best_weights": best.weights,
        }
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(**state),
            str(folder),
            max_to_keep=MAX_TO_KEEP,
            checkpoint_name="step",
        )
        self._optimizer = model.optimizer
        self._resumed_metrics: list[Any] | None = None
        self._saved_at, self._save_seconds = time.monotonic(), 0.0

    @property
    def step(self) -> int:
        """The number of training steps done."""
        return int(self._optimizer.iterations.numpy())

    @property
    def last(self) -> str | None:
        """The path of the last checkpoint without its suffixes; None where there is none."""
        return self._manager.latest_checkpoint

    def restore(self, folder: Path) -> None:
        """Restores the newest checkpoint in `folder` that can be read; does nothing without any.

        Raises:
          TrainingError: there are checkpoints, and none can be read.
        """
        found = sorted(folder.glob("step-*.index"), key=_step_number, reverse=True)
        unreadable = []
        for index in found:
            try:
                status = self._manager.checkpoint.restore(str(index.with_suffix("")))
                status.assert_consumed()
            except _UNREADABLE as error:
                why = errors.reason(error)
                unreadable.append(f"{index}: cannot be read ({why}): continuing from an older one")
            else:
                self._resumed_metrics = [metric.get_weights() for metric in self._metrics]
                for line in unreadable:
                    print(line, file=sys.stderr)
                return
        if found:
            raise TrainingError(f"no checkpoint in {folder} can be read: discard it with --restart")

    def maybe_load_initial_counters_from_ckpt(
        self, steps_per_epoch: int, initial_epoch: int, mode: str
    ) -> tuple[int, int]:
        """(epoch, step in it) to start at; `fit` calls this of the model's `_training_state`."""
        return divmod(self.step, self.steps)

    def on_train_begin(self, logs: Any = None) -> None:
        # As tf_keras's BackupAndRestore does, which keeps one checkpoint and no running means.
        self.model._training_state = self
        self._saved_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._resumed_metrics is not None and self.step % self.steps:
            for metric, values in zip(self._metrics, self._resumed_metrics, strict=True):
                metric.set_weights(values)  # `fit` has just reset them
        self._resumed_metrics = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.step % self.steps == 0:
            return  # `on_epoch_end` follows
        self._save_or_end(time.monotonic() - self._saved_at > CHECKPOINT_INTERVAL_S)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        elapsed = time.monotonic() - self._saved_at
        self._save_or_end(last or self._save_seconds <= MAX_SAVE_FRACTION * elapsed)

    def _save_or_end(self, save: bool) -> None:
        interrupted, save = self._any_worker(self._interrupts.number is not None, save)
        if interrupted or save:
            self.save()
        if interrupted:
            self._interrupts.end()

    def _any_worker(self, *flags: bool) -> Any:
        """Each flag, or'ed over the workers: all have to save at the same step."""
        strategy = self.model.distribute_strategy
        if strategy.cluster_resolver is None:
            return flags
        numbers = strategy.run(tf.constant, args=([float(flag) for flag in flags],))
        return (strategy.reduce("SUM", numbers, axis=None) > 0).numpy()

    def on_train_end(self, logs: Any = None) -> None:
        self.model._training_state = None

    def save(self) -> None:
        """Saves now. If any variable is NaN or Inf, keeps the previous checkpoint."""
        started = time.monotonic()
        self.folder.stat()  # raises if someone has removed it; TensorFlow would make it again
        if nonfinite_variable(self.model) is None:
            self._manager.save(checkpoint_number=self.step)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - started


def _step_number(index: Path) -> int:
    return int(re.sub(r"\D", "", index.stem))
