"""What moves the weight of the KL in the first epochs of training, as Keras callbacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.layers.hierarchical import HierarchicalKL
from tfp_vae.layers.kl import KLDivergenceRegularizer

Logs = dict[str, Any] | None


class _InFirstEpochs(tf_keras.callbacks.Callback):
    """Calls `_move` before each execution of steps of the first `_last` epochs.

    Where the number of steps in an epoch is not known, it does so epoch by epoch.
    """

    def __init__(self, last: int) -> None:
        super().__init__()
        self._last, self._epoch = last, 0

    def _move(self, epochs_done: float) -> None:
        raise TypeError(f"{type(self).__name__} does not define _move()")

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch
        self._move(epoch)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        if self.params.get("steps") and self._epoch < self._last:
            self._move(self._epoch + batch / self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if epoch + 1 >= self._last:  # for a model whose training ends here
            self._move(epoch + 1)


class KLWarmup(_InFirstEpochs):
    """Raises the weight of the KL linearly from 0 to `beta` over the first `epochs` epochs.

    It moves the weight of every `tfp_vae.KLDivergenceRegularizer` in the model before each
    execution of steps where the number of steps in an epoch is known, otherwise epoch by epoch; it
    has its last value at the end of the warm-up's last epoch.
    Levels of a `HierarchicalVAE` without a number of their own all have the whole weight.

    Args:
      epochs: their number; for a `HierarchicalVAE` perhaps one for each level, from the image up,
        where a level of 0 epochs has the weight `beta` from the start.
      beta: the weight after that, whatever the model was built with.

    Raises:
      InputError: (a ValueError) no epochs; at the start of training, a model without a KL, levels
        that the model does not have, or whose KL it does not know.
    """

    def __init__(self, epochs: int | Sequence[int], beta: float = 1.0) -> None:
        self.epochs = epochs
        self.beta = beta
        self._all = tuple(np.atleast_1d(epochs).tolist())
        super().__init__(max(self._all, default=0))
        if self._last <= 0 or min(self._all) < 0:
            raise InputError(
                f"epochs {epochs}: expected at least 1; without it there is no warm-up"
            )

    def set_model(self, model: tf_keras.Model) -> None:
        """Takes the model to train, as Keras calls it."""
        super().set_model(model)
        found = [part for part in model.submodules if isinstance(part, KLDivergenceRegularizer)]
        if not found:
            raise InputError("KLWarmup: model has no KL: expected a KLDivergenceRegularizer in it")
        self._weights = [regularizer.weight for regularizer in found]
        hierarchies = [part for part in found if isinstance(part, HierarchicalKL)]
        self._of_levels = [regularizer.level_weights for regularizer in hierarchies]
        if not np.ndim(self.epochs):
            for weights in self._of_levels:
                weights.assign(tf.ones_like(weights))
            self._of_levels = []
            return
        counts = {len(regularizer.prior.sizes) for regularizer in hierarchies}
        given = f"kl_warmup_epochs {' '.join(map(str, self._all))}"
        if counts != {len(self._all)}:
            levels = ", ".join(f"{count}, one for each level" for count in counts)
            raise InputError(f"{given}: expected one number" + (levels and f", or {levels}"))
        if not getattr(model, "level_trackers", None):
            raise InputError(
                f"{given}: of several draws the KL of a level is not known: expected 1"
            )

    def _move(self, epochs_done: float) -> None:
        shares = [min(1.0, epochs_done / epochs) if epochs else 1.0 for epochs in self._all]
        for weights in self._of_levels:
            weights.assign(shares[::-1])  # the top level first
        for weight in self._weights:
            weight.assign(self.beta * (1.0 if self._of_levels else shares[0]))


class KLBalance(_InFirstEpochs):
    """Keeps levels of a `HierarchicalVAE` from falling out of use while training begins.

    In the first steps the levels compete for what they all could say of an image, and one that has
    lost may have no KL for the rest of training. At first the weight of a level is in proportion to
    its KL (`HierarchicalKL.balance`); over `epochs` epochs it becomes that of the loss.

    Args:
      epochs: their number.

    Raises:
      InputError: (a ValueError) no epochs; at the start of training, a model that is no hierarchy,
        or whose levels' KL is not known.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        if epochs <= 0:
            raise InputError(
                f"epochs {epochs}: expected at least 1; without it levels are not balanced"
            )

    def set_model(self, model: tf_keras.Model) -> None:
        """Takes the model to train, as Keras calls it."""
        super().set_model(model)
        found = [part for part in model.submodules if isinstance(part, HierarchicalKL)]
        if not found or not getattr(model, "level_trackers", None):
            raise InputError(
                f"kl_balance_epochs {self._last}: only for a hierarchy with one draw, "
                "which knows the KL of each level: expected 0"
            )
        self._balances = [regularizer.balance for regularizer in found]

    def on_train_end(self, logs: Logs = None) -> None:
        self._assign(0.0)

    def _move(self, epochs_done: float) -> None:
        self._assign(max(0.0, 1.0 - epochs_done / self._last))

    def _assign(self, value: float) -> None:
        for balance in self._balances:
            balance.assign(value)
