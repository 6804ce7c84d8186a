"""A prior without weights that the user gives as a distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.divergences import as_multivariate_normal
from tfp_vae.errors import InputError
from tfp_vae.priors.base import Prior
from tfp_vae.priors.serialization import deserialize, serialize
from tfp_vae.priors.standard_normal import StandardNormal


@tf_keras.saving.register_keras_serializable("tfp_vae")
class FixedPrior(Prior):
    """Any `tfd.Distribution` over [D], which does not change in training.

    Args:
      fixed: the distribution, or a function without arguments that returns it; such a function
        cannot be saved. In a config, what `serialize` writes.

    Raises:
      InputError: a distribution with trainable variables, of another dtype than float32, with a
        batch shape, or whose event is no vector.
      ValueError: a config that names something else than a class of `tfp.distributions`.
    """

    def __init__(
        self,
        fixed: tfd.Distribution | Callable[[], tfd.Distribution] | dict[str, Any],
        latent_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(fixed, dict):
            fixed = deserialize(fixed)
        made = fixed() if callable(fixed) else fixed
        if not isinstance(made, tfd.Distribution):
            raise InputError(f"prior {fixed!r}: expected a tfp_vae.Prior or a tfd.Distribution")
        if made.trainable_variables:
            raise InputError(
                f"prior {type(made).__name__} has trainable variables: expected fixed parameters, "
                "or a subclass of tfp_vae.Prior, whose weights are saved"
            )
        _check(made)
        super().__init__(made.event_shape[0] if latent_size is None else latent_size, **kwargs)
        self._fixed = fixed

    def distribution(self) -> tfd.Distribution:
        return self._fixed() if callable(self._fixed) else self._fixed

    def get_config(self) -> dict[str, Any]:
        if callable(self._fixed):
            raise ValueError("a prior given as a function cannot be saved: give its distribution")
        return {**super().get_config(), "fixed": serialize(self._fixed)}


def as_prior(given: Any) -> Prior:
    """`given` as a built `Prior`: a prior, a `tfd.Distribution`, or a function that returns one.

    Raises:
      InputError: something else, or a distribution that is no float32 vector.
    """
    if isinstance(given, Prior):
        prior = given
    elif _is_standard_normal(given):
        prior = StandardNormal(given.event_shape[0])
    else:
        prior = FixedPrior(given)
    _check(prior(), prior.latent_dtype)
    return prior


def is_same_prior(given: Any, prior: Prior) -> bool:
    """Whether `given` is `prior` itself, or the same fixed distribution written out again."""
    if given is prior or given is getattr(prior, "_fixed", None):
        return True
    other = as_prior(given)
    if type(other) is not type(prior) or prior.weights:
        return False
    if isinstance(prior, FixedPrior) and isinstance(other, FixedPrior):
        return serialize(prior()) == serialize(other())
    return prior.latent_size == other.latent_size


def _check(distribution: tfd.Distribution, dtype: tf.DType = tf.float32) -> None:
    name = type(distribution).__name__
    if distribution.dtype != dtype:
        found = getattr(distribution.dtype, "name", distribution.dtype)
        raise InputError(f"prior {name} of {found}: expected {dtype.name} parameters")
    event, batch = distribution.event_shape, distribution.batch_shape
    if event.rank != 1 or batch.rank != 0:
        raise InputError(
            f"prior {name}: event shape {event}, batch shape {batch}: "
            "expected the event [D] and no batch"
        )


def _is_standard_normal(given: Any) -> bool:
    """Whether it is N(0, I), as TFP's `Independent` or one of its multivariate Normals."""
    if not isinstance(given, tfd.Distribution) or given.trainable_variables:
        return False
    normal = as_multivariate_normal(given)
    if normal is None or normal.batch_shape.rank != 0 or normal.dtype != "float32":
        return False
    identity = np.eye(normal.event_shape[0], dtype=np.float32)
    return not np.any(normal.mean()) and np.array_equal(normal.scale.to_dense(), identity)
