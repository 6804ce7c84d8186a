"""What a long run says while it trains: the time that is left, and that the latents collapsed."""

import time
from typing import Any

import tf_keras

TELL_FROM_S = 60  # of time left, from which a run says so
TELL_EVERY_S = 30  # at most
COLLAPSED_NATS = 0.1  # of the KL of an image, below which the latents carry nothing
# The posterior starts near the prior. In the first epochs a small KL is no collapse, unless it has
# been ten times as large before.
FIRST_EPOCHS = 10
ADVICE_WITHOUT_KL = "try a smaller --learning-rate, or another --activation or --likelihood"
ADVICE = (
    "try --kl-warmup-epochs, a smaller --beta or --learning-rate, "
    "or another --activation or --likelihood"
)


class TimeLeft(tf_keras.callbacks.Callback):
    """Prints after epochs how long the run will last, where that is a minute or more."""

    def on_train_begin(self, logs: Any = None) -> None:
        self._said = self._started = time.monotonic()
        self._first: int | None = None  # epoch since which time is measured

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if self._first is None:  # the first epoch takes longer, as TensorFlow compiles in it
            self._first, seconds = epoch, now - self._started
            self._started = now
        else:
            seconds = (now - self._started) / (epoch - self._first)
        left = seconds * (self.params["epochs"] - epoch - 1)
        if self.model.stop_training or left < TELL_FROM_S or now - self._said < TELL_EVERY_S:
            return
        self._said = now
        epochs = f"epoch {epoch + 1} of {self.params['epochs']}"
        print(f"{epochs}: at most about {round(left / 60)} min left", flush=True)


class CollapseWarning(tf_keras.callbacks.Callback):
    """Says once that q(z|x) has become the prior: `val_kl` is almost 0."""

    def __init__(self) -> None:
        super().__init__()
        self._largest = 0.0
        self._said = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        kl = logs["val_kl"]
        self._largest = max(self._largest, kl)
        may_grow = epoch < FIRST_EPOCHS and self._largest < 10 * COLLAPSED_NATS
        if self._said or may_grow or self.model.kl_form == "none" or kl >= COLLAPSED_NATS:
            return
        self._said = True
        print(f"epoch {epoch + 1}: val_kl is {kl:.3f} nats: the latents have collapsed: {ADVICE}")
