"""What a quantiser is: one of K codes for each vector of a feature map, with a gradient through it.

Everything is float32, whatever the policy: distances of close codes drown in bfloat16.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks.counted_draws import CountedDraws


class Quantized(NamedTuple):
    """What a quantiser finds for N vectors."""

    vectors: tf.Tensor
    """What was quantised, float32 [N, C]."""
    codes: tf.Tensor
    """int32 [N]."""
    embedded: tf.Tensor
    """The codes' vectors, with the gradient of `vectors`: float32 [N, C]."""
    commitment: tf.Tensor
    """Squared distance of each vector from its code's, with a gradient by the vector: [N]."""


class Quantizer(tf_keras.layers.Layer, CountedDraws):
    """K codes, each a vector [C].

    Subclasses define `call` and `embed`.

    Args:
      codebook_size: K.
      code_size: C, where K does not decide it.
      seed: of what it draws; None draws it from NumPy's global state.

    Attributes:
      dimensions: C.
    """

    def __init__(
        self,
        codebook_size: int,
        code_size: int = 64,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.codebook_size, self.code_size, self.seed = codebook_size, code_size, seed
        self.count_draws(seed, f"{self.name}/draws")

    @property
    def dimensions(self) -> int:
        return self.code_size

    def call(self, vectors: tf.Tensor) -> Quantized:
        """The `Quantized` of `vectors`, float32 [N, C]."""
        raise TypeError(f"{type(self).__name__} does not define call()")

    def embed(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors [..., C] of codes [...]."""
        raise TypeError(f"{type(self).__name__} does not define embed()")

    @property
    def running(self) -> list[tf.Variable]:
        """The codes and their running averages, where there are any."""
        return []

    def start(self, vectors: np.ndarray) -> None:
        """Places the codes by vectors [N, C] of training images, before training."""

    def update(self, found: Quantized) -> None:
        """Moves the codes after a training step, by what it has quantised."""

    def get_config(self) -> dict[str, Any]:
        names = ("codebook_size", "code_size", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
