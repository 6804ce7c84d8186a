"""What the distributions that this package adds to TFP share."""

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class OwnDistribution(tfd.Distribution):
    """A distribution whose event shape is known, and whose batch is not sliced.

    Args:
      parameters: what its constructor was given, with `name`.
      reparameterized: whether draws have a gradient by the parameters.
      dtype: of a draw; densities are float32.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        *,
        reparameterized: bool = False,
        dtype: tf.DType = tf.float32,
    ) -> None:
        super().__init__(
            dtype=dtype,
            reparameterization_type=(
                tfd.FULLY_REPARAMETERIZED if reparameterized else tfd.NOT_REPARAMETERIZED
            ),
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=parameters["name"],
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant(self._event_shape().as_list(), tf.int32)
