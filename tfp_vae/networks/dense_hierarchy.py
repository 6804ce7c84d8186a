"""A hierarchy whose levels are vectors, on fully connected layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel
from tfp_vae.networks.blocks import Residual, build
from tfp_vae.networks.top_down import TopDown

tfkl = tf_keras.layers


@tf_keras.saving.register_keras_serializable("tfp_vae")
class DenseTopDown(TopDown):
    """Vectors of latents; after the last level, hidden layers of their own.

    Args:
      hidden_units: of the hidden layers after the last level, in this order.
      size: of the parameters of p(x|z).
      spread: as `Network.decode` takes it.
    """

    def __init__(
        self, hidden_units: Sequence[int], size: int, spread: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units, self.size, self.spread = list(hidden_units), size, spread
        self.feature_shapes = [(width,) for width in self.widths]
        self.feature_of = list(range(len(self.sizes)))
        options = {"dtype": self.dtype_policy}
        self.hidden = [
            tfkl.Dense(units, name=f"hidden_{index}", **ACTIVATIONS[self.activation], **options)
            for index, units in enumerate(self.hidden_units)
        ]
        self.last = tfkl.Dense(size, name="last", kernel_initializer=last_kernel(spread), **options)

    def enter(self, index: int, state: tf.Tensor) -> tf.Tensor:
        return state

    def build_last(self, *shape: int) -> None:
        for layer, size in zip(
            (*self.hidden, self.last), (*shape, *self.hidden_units), strict=True
        ):
            build(layer, size)

    def parameters(self, state: tf.Tensor) -> tf.Tensor:
        x = self._act(state)
        for layer in self.hidden:
            x = layer(x)
        return self.last(x)

    def set_start(self, start: np.ndarray) -> None:
        self.last.bias.assign(start.ravel())

    def get_config(self) -> dict[str, Any]:
        own = {"hidden_units": self.hidden_units, "size": self.size, "spread": self.spread}
        return {**super().get_config(), **own}


class DenseHierarchy:
    """The two paths of a hierarchy of vectors.

    Args:
      activation: a name in `ACTIVATIONS`.
      hidden_units: of the layers between the image and the lowest level; the last one is the width
        of both paths.
      level_sizes: the number of latents of each level, the top one first.

    Raises:
      InputError: no hidden units.
    """

    def __init__(
        self, activation: str, hidden_units: tuple[int, ...], level_sizes: tuple[int, ...]
    ) -> None:
        if not hidden_units:
            raise InputError("hidden_units: expected at least one for model hierarchical")
        self.activation, self.hidden_units, self.level_sizes = activation, hidden_units, level_sizes

    def features(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Features [B, C] of images for each level, the top one first."""
        x = tfkl.Flatten()(images)
        for units in self.hidden_units:
            x = tfkl.Dense(units, **ACTIVATIONS[self.activation])(x)
        found = [x]
        for _ in self.level_sizes[1:]:
            found.append(Residual(1, self.hidden_units[-1], self.activation)(found[-1]))
        return found[::-1]

    def top_down(self, start_shape: tuple[int, ...], spread: float) -> TopDown:
        """The generative path, for parameters of p(x|z) of shape [P, H, W, C]."""
        return DenseTopDown(
            self.hidden_units[-2::-1],
            int(np.prod(start_shape)),
            spread,
            level_shapes=[(size,) for size in self.level_sizes],
            widths=[self.hidden_units[-1]] * len(self.level_sizes),
            activation=self.activation,
            name="top_down",
        )
