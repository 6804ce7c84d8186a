"""Codes that are a few rounded numbers (Mentzer et al., 2023)."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.layers.quantizer import Quantized, Quantizer

MAX_LEVELS = 8  # of a dimension


@tf_keras.saving.register_keras_serializable("tfp_vae")
class FiniteScalarQuantizer(Quantizer):
    """Each of a few dimensions is bounded and rounded to one of L values (Mentzer et al., 2023).

    "Finite scalar quantization: VQ-VAE made simple". The codes are all combinations of the values,
    so that there is no codebook to train, and none of its codes can die.

    Args:
      codebook_size: K, a product of numbers from 2 to 8, which become the L of each dimension.
      *args: of `Quantizer`, whose code_size has no effect: C is the number of dimensions.
      **kwargs: of `Quantizer`.

    Raises:
      InputError: another K.
    """

    def __init__(self, codebook_size: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(codebook_size, *args, **kwargs)
        self.levels = np.asarray(levels_of(codebook_size), np.int32)
        self._bases = np.cumprod([1, *self.levels[:-1]]).astype(np.int32)
        self._half = (self.levels - 1).astype(np.float32) / 2.0

    @property
    def dimensions(self) -> int:
        return len(self.levels)

    def call(self, vectors: tf.Tensor) -> Quantized:
        bounded = tf.math.tanh(vectors)  # in (-1, 1), of which index i is the value i / half - 1
        indices = tf.round((bounded + 1.0) * self._half)
        rounded = indices / self._half - 1.0
        codes = tf.reduce_sum(tf.cast(indices, tf.int32) * self._bases, axis=-1)
        return Quantized(
            vectors,
            codes,
            bounded + tf.stop_gradient(rounded - bounded),
            tf.zeros_like(codes, tf.float32),
        )

    def embed(self, codes: tf.Tensor) -> tf.Tensor:
        indices = codes[..., tf.newaxis] // self._bases % self.levels
        return tf.cast(indices, tf.float32) / self._half - 1.0


def levels_of(codebook_size: int) -> tuple[int, ...]:
    """The number of values of each dimension: as few dimensions and as even numbers as can be.

    512 is 8 x 8 x 8, 1,000 is 8 x 5 x 5 x 5.

    Raises:
      InputError: a size that is no product of numbers from 2 to 8.
    """
    most = math.ceil(math.log2(codebook_size)) if codebook_size > 1 else 0
    for count in range(1, most + 1):
        found = _factors(codebook_size, count, MAX_LEVELS)
        if found:
            return min(found, key=lambda levels: (levels[0] - levels[-1], levels))
    raise InputError(
        f"codebook_size {codebook_size}: expected a product of numbers from 2 to {MAX_LEVELS} for "
        "quantizer finite_scalar, such as 512"
    )


def _factors(size: int, count: int, largest: int) -> list[tuple[int, ...]]:
    """The products of `count` numbers from 2 to `largest`, not increasing, that are `size`."""
    if count == 1:
        return [(size,)] if 2 <= size <= largest else []
    return [
        (first, *rest)
        for first in range(2, largest + 1)
        if size % first == 0
        for rest in _factors(size // first, count - 1, first)
    ]
