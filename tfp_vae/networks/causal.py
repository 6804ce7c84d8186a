"""A causal transformer over sequences of codes: each position sees those before it."""

import math
from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.networks.blocks import build

tfkl = tf_keras.layers

Cache = tuple[tf.Tensor, tf.Tensor]  # keys and values of a block, [B * heads, T, width / heads]


class CausalBlock(tf_keras.layers.Layer):
    """x + attention(norm(x)), then x + dense(norm(x)).

    The order of Xiong et al., "On layer normalization in the transformer architecture" (2020).

    Args:
      width: channels of a position.
      heads: of the attention; a divisor of `width`.
      hidden_units: of the dense layer.
    """

    def __init__(self, width: int, heads: int, hidden_units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        own = {"dtype": self.dtype_policy}
        self.norms = [tfkl.LayerNormalization(name=f"norm_{index}", **own) for index in range(2)]
        self.projection = tfkl.Dense(3 * width, name="projection", **own)
        self.attention = tfkl.Attention(name="attention", **own)
        # Kernels of zeros: a block starts as the identity.
        self.joined = tfkl.Dense(width, kernel_initializer="zeros", name="joined", **own)
        self.hidden = tfkl.Dense(hidden_units, "gelu", name="hidden", **own)
        self.last = tfkl.Dense(width, kernel_initializer="zeros", name="last", **own)

    def build(self, input_shape: Any) -> None:
        for layer in (*self.norms, self.projection, self.joined, self.hidden):
            build(layer, input_shape[1], self.width)
        build(self.last, input_shape[1], self.hidden.units)
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """All positions [B, T, width] at once."""
        query, key, value = self._projected(x)
        attended = self.attention([query, value, key], use_causal_mask=True)
        return self._finished(x, attended)

    def step(self, x: tf.Tensor, cache: Cache, position: tf.Tensor) -> tuple[tf.Tensor, Cache]:
        """One position [B, 1, width], given what the block has computed for those before it.

        Args:
          x: at `position`.
          cache: keys and values of all positions; those from `position` on are not read.
          position: a scalar.

        Returns:
          The block's output there, and the cache with that position.
        """
        query, *new = self._projected(x)
        count = cache[0].shape[1]
        here = tf.range(count)[tf.newaxis, :, tf.newaxis] == position
        key, value = (tf.where(here, each, kept) for each, kept in zip(new, cache, strict=True))
        seen = tf.repeat(tf.range(count)[tf.newaxis] <= position, tf.shape(query)[0], axis=0)
        attended = self.attention([query, value, key], mask=[None, seen])
        return self._finished(x, attended), (key, value)

    def _projected(self, x: tf.Tensor) -> list[tf.Tensor]:
        """Query, key and value, the heads as rows: [B * heads, T, width / heads] each."""
        size = self.width // self.heads
        parts = tf.split(self.projection(self.norms[0](x)), 3, axis=-1)
        query, key, value = (self._by_head(part, size) for part in parts)
        return [query / math.sqrt(size), key, value]

    def _by_head(self, x: tf.Tensor, size: int) -> tf.Tensor:
        x = tf.reshape(x, [-1, x.shape[1], self.heads, size])
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, x.shape[1], size])

    def _finished(self, x: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
        count, size = attended.shape[1:]
        attended = tf.reshape(attended, [-1, self.heads, count, size])
        attended = tf.reshape(tf.transpose(attended, [0, 2, 1, 3]), [-1, count, self.width])
        x += self.joined(attended)
        return x + self.last(self.hidden(self.norms[1](x)))


class CausalNetwork(tf_keras.layers.Layer):
    """Log-odds of each code in a sequence, given the codes before it.

    They start at 0: all codes are equally likely.

    Args:
      sizes: the number of codes of each level in the sequence; each has a codebook of its own.
      codebook_size: K, of each.
      width: as `CausalBlock` takes it.
      heads: likewise.
      blocks: how many.
    """

    def __init__(
        self,
        sizes: list[int],
        codebook_size: int,
        width: int,
        heads: int,
        blocks: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sizes, self.codebook_size, self.width, self.heads = sizes, codebook_size, width, heads
        self.count = sum(sizes)
        own = {"dtype": self.dtype_policy}
        self.embedding = tfkl.Embedding(len(sizes) * codebook_size, width, name="embedding", **own)
        self.blocks = [
            CausalBlock(width, heads, 2 * width, name=f"block_{index}", **own)
            for index in range(blocks)
        ]
        self.norm = tfkl.LayerNormalization(name="norm", **own)
        self.heads_of_levels = [
            tfkl.Dense(codebook_size, kernel_initializer="zeros", name=f"level_{index}", **own)
            for index in range(len(sizes), 0, -1)
        ]

    def build(self, input_shape: Any) -> None:
        def add(name: str, *shape: int) -> tf.Variable:
            small = tf_keras.initializers.RandomNormal(stddev=0.02)
            return self.add_weight(name, (*shape, self.width), initializer=small)

        self.first, self.positions = add("first", 1, 1), add("positions", self.count)
        build(self.embedding, self.count)
        for layer in (*self.blocks, self.norm, *self.heads_of_levels):
            build(layer, self.count, self.width)
        super().build(input_shape)

    @property
    def _levels(self) -> tf.Tensor:
        """The index of the level of each position, [D]."""
        return tf.repeat(tf.range(len(self.sizes)), self.sizes)

    def call(self, codes: tf.Tensor) -> tf.Tensor:
        """Logits [B, D, K] of codes int32 [B, D], each from the codes before it."""
        embedded = self.embedding(codes + self._levels * self.codebook_size)
        first = tf.repeat(tf.cast(self.first, embedded.dtype), tf.shape(codes)[0], axis=0)
        x = tf.concat([first, embedded[:, :-1]], axis=1)
        x += tf.cast(self.positions, x.dtype)
        for block in self.blocks:
            x = block(x)
        parts = tf.split(self.norm(x), self.sizes, axis=1)
        logits = [head(part) for head, part in zip(self.heads_of_levels, parts, strict=True)]
        return tf.cast(tf.concat(logits, axis=1), tf.float32)

    def sample(self, n: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws of whole sequences, int32 [n, D], a function of `seed`, int32 [2].

        Each block keeps the keys and values of the positions that are drawn: a position costs one
        pass over itself alone.
        """
        size = self.width // self.heads
        empty = tf.zeros([n * self.heads, self.count, size], self.compute_dtype)
        caches = [(empty, empty)] * len(self.blocks)
        first = tf.repeat(tf.cast(self.first, self.compute_dtype), n, axis=0)
        positions, levels = tf.cast(self.positions, self.compute_dtype), self._levels

        def draw(position: tf.Tensor, x: tf.Tensor, codes: tf.Tensor, caches: Any) -> Any:
            x += positions[position]
            new = []
            for block, cache in zip(self.blocks, caches, strict=True):
                x, cache = block.step(x, cache, position)
                new.append(cache)
            x = self.norm(x)
            by_level = [tf.cast(head(x), tf.float32) for head in self.heads_of_levels]
            logits = tf.stack(by_level)[levels[position]][:, 0]
            of_step = tf.random.experimental.stateless_fold_in(seed, position)
            drawn = tf.random.stateless_categorical(logits, 1, of_step, tf.int32)
            codes = tf.where(tf.range(self.count) == position, drawn, codes)
            embedded = self.embedding(drawn + levels[position] * self.codebook_size)
            return position + 1, embedded, codes, new

        codes = tf.zeros([n, self.count], tf.int32)
        _, _, codes, _ = tf.while_loop(
            lambda position, *_: position < self.count,
            draw,
            (tf.constant(0), first, codes, caches),
            shape_invariants=_shapes((tf.constant(0), first, codes, caches)),
            maximum_iterations=self.count,
        )
        return codes


def _shapes(values: Any) -> Any:
    """The static shapes of loop variables, of which TensorFlow may forget the number of rows."""

    def of(value: tf.Tensor) -> tf.TensorShape:
        return tf.TensorShape([None, *value.shape[1:]]) if value.shape.rank else value.shape

    return tf.nest.map_structure(of, values)
