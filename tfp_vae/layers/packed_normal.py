"""A Normal with a full covariance that keeps its scale as TFP packs it: a vector of D (D + 1) / 2.

The KL is then a sum over that vector. With matrices [B, D, D], half of them zeros, the KL, its
gradients and those of a draw would take a quarter of a training step.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd


def _packing(size: int) -> np.ndarray:
    """The index in the vector of each entry of a matrix [D, D], as `tfp.math.fill_triangular`.

    Entries above the diagonal are duplicates and are ignored.
    """
    numbers = np.arange(size * (size + 1) // 2)
    return np.concatenate([numbers[size:], numbers[::-1]]).reshape(size, size)


def _places(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column of each number of the vector: two arrays [D (D + 1) / 2]."""
    rows, columns = np.tril_indices(size)
    order = np.argsort(_packing(size)[rows, columns])
    return rows[order], columns[order]


def packed_diagonal(packed: tf.Tensor, size: int) -> tf.Tensor:
    """The diagonal [..., D] of the matrix that `packed` [..., D (D + 1) / 2] stands for."""
    return tf.gather(packed, diagonal_places(size), axis=-1)


def diagonal_places(size: int) -> np.ndarray:
    """The index in the vector of each entry of the diagonal: [D]."""
    return np.diagonal(_packing(size))


def _below_diagonal(packed: tf.Tensor, size: int) -> tf.Tensor:
    """The part of that matrix below its diagonal, [..., D, D]; the rest is zero."""
    rows, columns = _places(size)
    lower = np.tri(size, k=-1, dtype=packed.dtype.as_numpy_dtype)

    @tf.custom_gradient
    def unpack(packed: tf.Tensor) -> Any:
        square = tf.concat([packed[..., size:], tf.reverse(packed, axis=[-1])], axis=-1)
        shape = tf.concat([tf.shape(packed)[:-1], [size, size]], axis=0)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # Autodiff through the concatenation and the reversal takes a tenth of a training step.
            flat = tf.reshape(upstream * lower, tf.concat([shape[:-2], [size * size]], axis=0))
            return tf.gather(flat, rows * size + columns, axis=-1)

        return tf.reshape(square, shape) * lower, gradient

    return unpack(packed)


class TriangularNormal(tfd.MultivariateNormalTriL):
    """`tfd.MultivariateNormalTriL` from a packed scale.

    Args:
      loc: the mean, [..., D].
      packed: the scale, in the order of `tfp.math.fill_triangular`: [..., D (D + 1) / 2]. Its
        diagonal is ignored.
      diagonal: the diagonal of the scale, positive: [..., D].
    """

    def __init__(
        self,
        loc: tf.Tensor,
        packed: tf.Tensor,
        diagonal: tf.Tensor,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "MultivariateNormalTriL",
    ) -> None:
        parameters = dict(locals())
        self._packed, self._diagonal = packed, diagonal
        self._draw = self._log_prob_of_draw = None
        super().__init__(
            loc=loc,
            scale_tril=_below_diagonal(packed, loc.shape[-1]) + tf.linalg.diag(diagonal),
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            name=name,
        )
        self._parameters = parameters

    def keep(self, draw: tf.Tensor, log_prob: tf.Tensor) -> None:
        """Makes `log_prob` the answer for `draw` itself, [..., D]: there it is known without a
        solve, which has no digit left where the scale is nearly singular.
        """
        self._draw, self._log_prob_of_draw = draw, log_prob

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        return self._log_prob_of_draw if z is self._draw else super()._log_prob(z)

    def _stddev(self) -> tf.Tensor:
        # TFP's own would form the covariance, with an op that LiteRT does not have.
        return tf.sqrt(tf.reduce_sum(tf.square(self.scale.to_dense()), axis=-1))

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        vector = tfp.util.ParameterProperties(event_ndims=1)
        return {"loc": vector, "packed": vector, "diagonal": vector}


@tfd.RegisterKL(TriangularNormal, tfd.MultivariateNormalDiag)
def _kl(
    q: TriangularNormal, prior: tfd.MultivariateNormalDiag, name: str | None = None
) -> tf.Tensor:
    """The KL of TFP's general form for two covariances, without its solves: [B], nats."""
    with tf.name_scope(name or "kl_triangular_diag"):
        scale = prior.stddev()
        rows, columns = _places(scale.shape[-1])
        below = (rows > columns).astype(scale.dtype.as_numpy_dtype)
        squares = tf.reduce_sum(tf.square(q._packed / tf.gather(scale, rows, axis=-1)) * below, -1)
        squares += tf.reduce_sum(tf.square(q._diagonal / scale), axis=-1)
        squares += tf.reduce_sum(tf.square((q.loc - prior.mean()) / scale), axis=-1)
        log_ratio = tf.math.log(scale) - tf.math.log(q._diagonal)
        return tf.reduce_sum(log_ratio, axis=-1) + 0.5 * (squares - scale.shape[-1])
