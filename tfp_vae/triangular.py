"""A normal with a full covariance that keeps its scale as TFP packs it: a vector of D (D + 1) / 2.

Its KL is a sum over that vector. By way of matrices [B, D, D], half of them zeros, the KL and the
gradients of it and of a draw take a quarter of a training step.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def _packing(size):
    """Which number of the vector each entry of a matrix [D, D] is, as `tfp.math.fill_triangular`.

    Above the diagonal the numbers come a second time, and count for nothing.
    """
    numbers = np.arange(size * (size + 1) // 2)
    return np.concatenate([numbers[size:], numbers[::-1]]).reshape(size, size)


def _places(size):
    """Rows and columns of the numbers of the vector: two arrays [D (D + 1) / 2]."""
    rows, columns = np.tril_indices(size)
    order = np.argsort(_packing(size)[rows, columns])
    return rows[order], columns[order]


def packed_diagonal(packed, size):
    """The diagonal [..., D] of the matrix that `packed` [..., D (D + 1) / 2] stands for."""
    return tf.gather(packed, np.diagonal(_packing(size)), axis=-1)


def _below_diagonal(packed, size):
    """What of that matrix is below its diagonal, [..., D, D]; the rest is zero."""
    rows, columns = _places(size)
    lower = np.tri(size, k=-1, dtype=packed.dtype.as_numpy_dtype)

    @tf.custom_gradient
    def unpack(packed):
        square = tf.concat([packed[..., size:], tf.reverse(packed, axis=[-1])], axis=-1)
        shape = tf.concat([tf.shape(packed)[:-1], [size, size]], axis=0)

        def gradient(upstream):
            # Autodiff through the concatenation and the reversal takes a tenth of a training step.
            flat = tf.reshape(upstream * lower, tf.concat([shape[:-2], [size * size]], axis=0))
            return tf.gather(flat, rows * size + columns, axis=-1)

        return tf.reshape(square, shape) * lower, gradient

    return unpack(packed)


class TriangularNormal(tfd.MultivariateNormalTriL):
    """`tfd.MultivariateNormalTriL` from a packed scale.

    Args:
      loc: the mean, [..., D].
      packed: the scale, in the order of `tfp.math.fill_triangular`: [..., D (D + 1) / 2]. What
        stands on the diagonal is ignored.
      diagonal: the diagonal of the scale, positive: [..., D].
    """

    def __init__(
        self,
        loc,
        packed,
        diagonal,
        validate_args=False,
        allow_nan_stats=True,
        name="MultivariateNormalTriL",
    ):
        parameters = dict(locals())
        self._packed, self._diagonal = packed, diagonal
        super().__init__(
            loc=loc,
            scale_tril=_below_diagonal(packed, loc.shape[-1]) + tf.linalg.diag(diagonal),
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            name=name,
        )
        self._parameters = parameters

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        vector = tfp.util.ParameterProperties(event_ndims=1)
        return {"loc": vector, "packed": vector, "diagonal": vector}


@tfd.RegisterKL(TriangularNormal, tfd.MultivariateNormalDiag)
def _kl(q, prior, name=None):
    """As TFP's for any two covariances, without its solves: [B], in nats."""
    with tf.name_scope(name or "kl_triangular_diag"):
        scale = prior.stddev()
        rows, columns = _places(scale.shape[-1])
        below = (rows > columns).astype(scale.dtype.as_numpy_dtype)
        squares = tf.reduce_sum(tf.square(q._packed / tf.gather(scale, rows, axis=-1)) * below, -1)
        squares += tf.reduce_sum(tf.square(q._diagonal / scale), axis=-1)
        squares += tf.reduce_sum(tf.square((q.loc - prior.mean()) / scale), axis=-1)
        log_ratio = tf.math.log(scale) - tf.math.log(q._diagonal)
        return tf.reduce_sum(log_ratio, axis=-1) + 0.5 * (squares - scale.shape[-1])
