"""How many of a codebook's codes occur, as a Keras metric."""

from typing import Any

import tensorflow as tf
import tf_keras


class CodeUsage(tf_keras.metrics.Metric):
    """`perplexity`, exp of the entropy of the codes since the last reset, and `usage`, their share.

    Both are of all codes that `update_state` has seen, an epoch in `fit`: the perplexity of a batch
    depends on its size.

    Args:
      codebook_size: K.
      suffix: of the two names.
    """

    def __init__(self, codebook_size: int, suffix: str = "", **kwargs: Any) -> None:
        super().__init__(**{"name": f"codes{suffix}", **kwargs})
        self.codebook_size, self.suffix = codebook_size, suffix
        self.counts = self.add_weight("counts", (codebook_size,), initializer="zeros")

    def update_state(self, codes: tf.Tensor, sample_weight: Any = None) -> None:
        """Counts codes, int32 [N]."""
        ones = tf.ones_like(codes, tf.float32)
        self.counts.assign_add(tf.math.unsorted_segment_sum(ones, codes, self.codebook_size))

    def result(self) -> dict[str, tf.Tensor]:
        """The two figures, NaN before the first code."""
        counts = tf.convert_to_tensor(self.counts)
        shares = counts / tf.reduce_sum(counts)
        entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
        return {
            f"perplexity{self.suffix}": tf.exp(entropy),
            f"usage{self.suffix}": tf.reduce_mean(tf.cast(counts > 0.0, tf.float32)),
        }

    def reset_state(self) -> None:
        """Forgets all codes."""
        self.counts.assign(tf.zeros_like(self.counts))
