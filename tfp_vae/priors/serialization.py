"""A distribution of `tfp.distributions` as plain values, for a config."""

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd


def serialize(value: Any) -> Any:
    """A TFP distribution as plain values: its public class name and its parameters, recursively.

    Raises:
      ValueError: a parameter that is not a number, an array, a name or a distribution.
    """
    if isinstance(value, tfd.Distribution):
        name = type(value).__name__
        if getattr(tfd, name, None) is not type(value):
            raise ValueError(
                f"prior {name}: only the classes of tfp.distributions can be saved: "
                "expected one of them, or a subclass of tfp_vae.Prior"
            )
        parameters = {key: serialize(item) for key, item in value.parameters.items()}
        return {"distribution": name, "parameters": parameters}
    if isinstance(value, tf.Tensor | tf.Variable | np.ndarray | np.generic):
        array = np.asarray(value)
        return {"array": array.tolist(), "dtype": array.dtype.name}
    if isinstance(value, tf.DType):
        return {"dtype": value.name}
    if isinstance(value, list | tuple):
        return [serialize(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"prior parameter {value!r}: expected a number, an array or a distribution")


def deserialize(config: Any) -> Any:
    """The distribution (or value) that `serialize` wrote; only `tfp.distributions` are made.

    Raises:
      ValueError: the name of something else.
    """
    if isinstance(config, list | tuple):
        return [deserialize(item) for item in config]
    if not isinstance(config, dict):
        return config
    if "array" in config:
        return np.asarray(config["array"], config["dtype"])
    if "dtype" in config:
        return tf.as_dtype(config["dtype"])
    distribution = getattr(tfd, config["distribution"], None)
    if not (isinstance(distribution, type) and issubclass(distribution, tfd.Distribution)):
        raise ValueError(f"{config['distribution']!r} is not a class of tfp.distributions")
    parameters = {key: deserialize(item) for key, item in config["parameters"].items()}
    return distribution(**parameters)
