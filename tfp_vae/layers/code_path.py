"""From feature maps to codes and from codes to a feature map, one level of codes after another."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.layers.quantizer import Quantized
from tfp_vae.layers.quantizers import QUANTIZERS
from tfp_vae.networks import pyramid
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.blocks import build

tfkl = tf_keras.layers

# Weight of the commitment: mean squared distance of a code dimension, times the number of values in
# an image (van den Oord et al., 2017, whose two terms are means).
COMMITMENT = 0.25
START_BYTES = 2**28  # of distances from all codes, before training: of so many images at once


class Coded(NamedTuple):
    """The codes of B images on all levels, the top one first."""

    codes: tf.Tensor
    """int32 [B, D]."""
    embedded: tf.Tensor
    """What the decoder sees, with the gradient of the features: float32 [B, h, w, E]."""
    commitment: tf.Tensor
    """What is added to the loss, [B], nats."""
    levels: list[Quantized]


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CodePath(tf_keras.layers.Layer):
    """Levels of codes on grids that double on the way to the image (Razavi et al., 2019).

    "Generating diverse high-fidelity images with VQ-VAE-2". A level's vectors come from the
    features of its grid and from the codes above it; the decoder sees the codes of all levels. One
    level is the model of van den Oord et al. (2017).

    Args:
      feature_shapes: (h, w, F) of the features of each level, the top one first.
      values: the number of values in an image, which is the scale of the commitment.
      quantizer: a name in `QUANTIZERS`.
      codebook_size: K of each level, as the quantizer takes it.
      code_size: C of each level, likewise.
      activation: a name in `ACTIVATIONS`.
      seed: of the quantizers.

    Attributes:
      sizes: the number of codes of each level, the top one first.
      quantizers: of each level.
      embedded_shape: (h, w, E) of what the decoder sees.
    """

    def __init__(
        self,
        feature_shapes: Sequence[Sequence[int]],
        values: int,
        quantizer: str = "vector",
        codebook_size: int = 512,
        code_size: int = 64,
        activation: str = "silu",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.feature_shapes = [tuple(shape) for shape in feature_shapes]
        self.values, self.quantizer, self.activation = values, quantizer, activation
        self.codebook_size, self.code_size, self.seed = codebook_size, code_size, seed
        self.sizes = [math.prod(shape[:2]) for shape in self.feature_shapes]
        count = len(self.sizes)
        self.quantizers = [
            QUANTIZERS[quantizer](
                codebook_size,
                code_size,
                None if seed is None else seed + index,
                name=f"level_{count - index}_codes",
            )
            for index in range(count)
        ]
        self.entries = [
            tfkl.Conv2D(each.dimensions, 1, name=f"level_{count - index}_entry", dtype="float32")
            for index, each in enumerate(self.quantizers)
        ]
        kernel = ACTIVATIONS[activation]["kernel_initializer"]
        options = {"strides": 2, "padding": "same", "kernel_initializer": kernel}
        self.doublings = [
            tfkl.Conv2DTranspose(
                each.dimensions,
                pyramid.KERNEL,
                name=f"level_{count - index}_doubling",
                dtype="float32",
                **options,
            )
            for index, each in enumerate(self.quantizers[:-1])
        ]
        *_, (rows, columns, _) = self.feature_shapes
        self.embedded_shape = (rows, columns, sum(each.dimensions for each in self.quantizers[-2:]))

    def build(self, input_shape: Any) -> None:
        above = 0  # channels of what the levels above give to one
        for index, shape in enumerate(self.feature_shapes):
            size = self.quantizers[index].dimensions
            build(self.entries[index], *shape[:2], shape[2] + above)
            build(self.quantizers[index], size)
            if index < len(self.doublings):
                build(self.doublings[index], *shape[:2], above + size)
                above = size
        super().build(input_shape)

    def quantize(self, features: tf.Tensor) -> Coded:
        """The codes of images.

        Args:
          features: of the levels, flat and concatenated, the top one first: [B, F].
        """
        sizes = [math.prod(shape) for shape in self.feature_shapes]
        parts = tf.split(tf.cast(features, tf.float32), sizes, axis=-1)
        found: list[Quantized] = []

        def embedded_of(index: int, above: tf.Tensor | None) -> tf.Tensor:
            x = tf.reshape(parts[index], [-1, *self.feature_shapes[index]])
            x = self.entries[index](x if above is None else tf.concat([x, above], axis=-1))
            dimensions = self.quantizers[index].dimensions
            found.append(self.quantizers[index](tf.reshape(x, [-1, dimensions])))
            return tf.reshape(found[-1].embedded, tf.shape(x))

        embedded = self._down(embedded_of)
        by_level = zip(found, self.sizes, strict=True)
        codes = [tf.reshape(each.codes, [-1, size]) for each, size in by_level]
        return Coded(tf.concat(codes, axis=-1), embedded, self._commitment(found), found)

    def _commitment(self, found: list[Quantized]) -> tf.Tensor:
        """The mean squared distance of a dimension, once for each value of an image: [B], nats."""
        means = [
            tf.reduce_mean(tf.reshape(each.commitment, [-1, size]), axis=-1) / quantizer.dimensions
            for each, size, quantizer in zip(found, self.sizes, self.quantizers, strict=True)
        ]
        return COMMITMENT * self.values * tf.add_n(means)

    def _down(self, embedded_of: Any) -> tf.Tensor:
        """The last feature map, where `embedded_of` gives that of each level, given those above."""
        above, state = None, None
        for index in range(len(self.sizes)):
            embedded = embedded_of(index, above)
            state = embedded if above is None else tf.concat([above, embedded], axis=-1)
            if index < len(self.doublings):
                rows, columns, _ = self.feature_shapes[index + 1]
                above = self.doublings[index](state)[:, :rows, :columns]
        return state

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        """What the decoder sees for codes, int32 [B, D]: float32 [B, *embedded_shape]."""
        parts = tf.split(codes, self.sizes, axis=-1)

        def embedded_of(index: int, above: tf.Tensor | None) -> tf.Tensor:
            rows, columns, _ = self.feature_shapes[index]
            return self.quantizers[index].embed(tf.reshape(parts[index], [-1, rows, columns]))

        return self._down(embedded_of)

    def embed(self, codes: tf.Tensor) -> tf.Tensor:
        """The vectors of codes int32 [B, D] themselves: float32 [B, D, C]."""
        parts = zip(tf.split(codes, self.sizes, axis=-1), self.quantizers, strict=True)
        return tf.concat([quantizer.embed(part) for part, quantizer in parts], axis=1)

    def start(self, features: np.ndarray) -> None:
        """Places the codes by features [N, F] of training images, as `quantize` takes them."""
        step = max(START_BYTES // (4 * max(self.sizes) * self.codebook_size), 1)
        for index, quantizer in enumerate(self.quantizers):
            # The vectors of a level depend on the codes above it, which have been placed.
            vectors = [
                self.quantize(features[at : at + step]).levels[index].vectors.numpy()
                for at in range(0, len(features), step)
            ]
            quantizer.start(np.concatenate(vectors))

    def update(self, coded: Coded) -> None:
        """Moves the codes of all levels after a training step."""
        for quantizer, found in zip(self.quantizers, coded.levels, strict=True):
            quantizer.update(found)

    def get_config(self) -> dict[str, Any]:
        names = ["feature_shapes", "values", "quantizer", "codebook_size", "code_size"]
        names += ["activation", "seed"]
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
