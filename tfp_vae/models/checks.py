"""What a `VAE` refuses before it trains, each in one line."""

import operator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import layers as tfpl

from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.layers.likelihoods import IndependentNormalSharedScale
from tfp_vae.layers.posteriors import IndependentNormal
from tfp_vae.models import OBJECTIVES
from tfp_vae.models.compiling import negative_log_likelihood

# Noise takes the pixels of a Normal likelihood out of [0, 1], but not as far as levels of 0..255.
MAX_NORMAL_PIXEL = 10.0


def checked_shape(image_shape: Any) -> tuple[int, int, int]:
    """(H, W, C) as integers.

    Raises:
      InputError: anything else.
    """
    try:
        sizes = tuple(operator.index(size) for size in image_shape)
    except TypeError:
        sizes = ()
    if len(sizes) != 3 or min(sizes) < 1:
        raise InputError(f"image_shape {image_shape}: expected (height, width, channels)")
    return sizes


def check_objective(
    objective: str,
    num_samples: int,
    layer: tfpl.DistributionLambda,
    regularizer: KLDivergenceRegularizer | None,
) -> int:
    """K as an integer; refuses an objective that a posterior cannot have.

    Args:
      objective: its name.
      num_samples: K.
      layer: makes the posterior.
      regularizer: of its KL; None without one.

    Raises:
      InputError: an unknown name; K < 1; free bits with another objective than "elbo"; or several
        draws, or another objective, with a layer that cannot make them.
    """
    given: dict[str, float] = {"num_samples": num_samples}
    if regularizer is not None:
        given["free_bits"] = regularizer.free_bits
    num_samples = OBJECTIVES.arguments(objective, given)["num_samples"]
    if (objective, num_samples) == (OBJECTIVES.default, 1):
        return num_samples
    asked = f"objective {objective}, num_samples {num_samples}: posterior {type(layer).__name__}"
    if not isinstance(layer, DistributionLayer):
        raise InputError(f"{asked}: expected a tfp_vae.DistributionLayer")
    if not layer.has_density:
        raise InputError(f"{asked} has no density: expected elbo, 1")
    if not layer.counts_draws:
        raise InputError(f"{asked} draws no sample: expected convert_to_tensor_fn sample")
    return num_samples


def check_loss(loss: Any, objective: str) -> None:
    """Refuses a reconstruction term that is no log-likelihood, where an objective needs one.

    Raises:
      InputError: such a loss.
    """
    if objective != OBJECTIVES.default and loss is not negative_log_likelihood:
        name = getattr(loss, "__name__", loss)
        raise InputError(
            f"loss {name}: objective {objective} weighs draws by log p(x|z): "
            "expected tfp_vae.negative_log_likelihood"
        )


def check_training_data(data: Any, image_shape: tuple[int, ...], likelihood: Any) -> None:
    """Refuses images of another shape or range than the model's.

    Args:
      data: as `tf_keras.Model.fit` takes `x`. Arrays are checked whole; of a `tf.data.Dataset` or a
        Keras `Sequence` the first batch; generators, which have only one pass, not at all.
      image_shape: (H, W, C).
      likelihood: the last layer of the decoder. Pixels of this package's likelihoods lie in [0, 1];
        those of a Normal may lie a little outside; those of another layer anywhere.

    Raises:
      InputError: such images.
    """
    if isinstance(data, tf.data.Dataset):
        data = next(iter(data), None)
    elif isinstance(data, tf_keras.utils.Sequence):
        data = data[0]
    parts = data if isinstance(data, tuple | list) else (data,)
    for name, part in zip(("images", "targets"), parts, strict=False):
        if isinstance(part, dict | list | tuple):
            raise InputError(f"{name}: a {type(part).__name__}: expected an array or a tensor")
        if isinstance(part, np.ndarray | tf.Tensor):
            _check(name, part, image_shape, _limits(likelihood))


def _limits(likelihood: Any) -> tuple[float, float]:
    if isinstance(likelihood, IndependentNormal | IndependentNormalSharedScale):
        return -MAX_NORMAL_PIXEL, MAX_NORMAL_PIXEL
    own = isinstance(likelihood, DistributionLayer)
    own = own and type(likelihood).__module__.startswith("tfp_vae.")
    return (0.0, 1.0) if own else (-np.inf, np.inf)


def _check(
    name: str, images: np.ndarray | tf.Tensor, image_shape: tuple[int, ...], limits: Any
) -> None:
    """Checks the shape and the values; NaN is left to the guard, which says at which step."""
    if tuple(images.shape[1:]) != image_shape or not len(images):
        expected = ", ".join(map(str, image_shape))
        least = "" if len(images) else ", N >= 1"
        raise InputError(f"{name} of shape {tuple(images.shape)}: expected (N, {expected}){least}")
    kind = np.dtype(tf.as_dtype(images.dtype).as_numpy_dtype)
    if not np.issubdtype(kind, np.floating) and kind.name != "bfloat16":
        raise InputError(f"{name} of {kind.name}: expected floats in [0, 1]")
    values = np.asarray(images, np.float32)
    low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
    if low < limits[0] or high > limits[1]:
        raise InputError(f"{name}: float pixels from {low:g} to {high:g}: expected 0..1")
