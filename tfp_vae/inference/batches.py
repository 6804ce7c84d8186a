"""Arrays of any length through functions that take a batch: checks, memory and progress."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.errors import InputError, reason
from tfp_vae.images.arrays import check_size
from tfp_vae.images.convert import to_float
from tfp_vae.progress import progress_bar

BATCH = 512  # rows in one call: what bounds the memory

# NumPy arrays, tensors, nested lists, or anything with a shape, a dtype and slices.
Arrays = Any
Inputs = dict[str, tf.Tensor]
InputsOf = Callable[[slice, int], Inputs]  # (rows, number of the batch) -> arguments of a signature


def batched(
    function: Any, count: int, inputs: InputsOf, outputs: Sequence[str], name: str
) -> dict[str, np.ndarray]:
    """The `outputs` of a signature for `count` rows, computed `BATCH` rows at a time.

    Args:
      function: a signature; the first axis of all it returns is the rows.
      count: number of rows.
      inputs: (slice of rows, number of the batch) -> the arguments of `function`.
      outputs: which of its outputs to keep.
      name: what the progress bar says.

    Returns:
      A dict of arrays [count, ...].

    Raises:
      InputError: a count whose results do not fit in memory.
    """
    # Shapes come from the graph: TensorFlow's fused convolutions refuse an empty batch.
    specs = {output: function.structured_outputs[output] for output in outputs}
    row = sum(math.prod(spec.shape[1:]) * spec.dtype.size for spec in specs.values())
    try:
        if count > BATCH:  # one batch needs no look at the memory
            check_size(count * row)
    except ValueError as error:
        raise InputError(f"{name} of {count}: {error}") from error
    results = {
        output: np.empty([count, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
        for output, spec in specs.items()
    }
    with progress_bar(count, name) as bar:
        for number, start in enumerate(range(0, count, BATCH)):
            rows = slice(start, min(start + BATCH, count))
            tensors = function(**inputs(rows, number))
            for output, result in results.items():
                result[rows] = tensors[output]
            bar.update(rows.stop - start)
    return results


def checked_images(images: Arrays, shape: tuple[int, ...]) -> Any:
    """`images`, an array if they were lists, whose shape is [N, *shape] and whose type is right.

    Raises:
      InputError: another shape or type.
    """
    images = _array("images", images)
    if len(images.shape) != 4 or tuple(images.shape[1:]) != shape:
        expected = ", ".join(map(str, ["N", *shape]))
        raise InputError(f"images of shape {_written(images.shape)}: expected [{expected}]")
    dtype = _dtype(images)
    if dtype is None or not (dtype == tf.uint8 or dtype.is_floating):
        name = dtype.name if dtype else images.dtype
        raise InputError(f"{name} images: expected floats in [0, 1] or uint8 0..255")
    in_memory = isinstance(images, np.ndarray | tf.Tensor)
    if dtype == tf.uint8 and in_memory and np.max(images, initial=0) == 1:
        raise InputError("uint8 images of 0 and 1 only: expected 0..255, or floats in [0, 1]")
    return images


def checked_image(image: Arrays, shape: tuple[int, ...]) -> Any:
    """One image [H, W, C], or [1, H, W, C], as a batch of one.

    Raises:
      InputError: another shape or type.
    """
    image = _array("an image", image)
    if tuple(image.shape) not in (shape, (1, *shape)):
        expected = ", ".join(map(str, shape))
        raise InputError(f"an image of shape {_written(image.shape)}: expected [{expected}]")
    return checked_images(image if len(image.shape) == 4 else image[np.newaxis], shape)


def checked_latents(latents: Arrays, latent_size: int, codebook_size: int | None = None) -> Any:
    """`latents`, an array if they were lists, whose shape is [N, latent_size].

    Raises:
      InputError: another shape; or, where latents are codes, others than 0..codebook_size - 1.
    """
    latents = _array("latents", latents)
    if len(latents.shape) != 2 or latents.shape[1] != latent_size:
        raise InputError(f"latents of shape {_written(latents.shape)}: expected [N, {latent_size}]")
    dtype = _dtype(latents)
    if dtype is None or not (dtype.is_floating or dtype.is_integer):
        raise InputError(f"latents of {latents.dtype}: expected numbers")
    if codebook_size is not None and latents.shape[0]:
        low, high = np.min(latents), np.max(latents)
        if not (np.all(np.equal(latents, np.round(latents))) and 0 <= low <= high < codebook_size):
            raise InputError(
                f"latents from {low:g} to {high:g}: expected codes, integers from 0 to "
                f"{codebook_size - 1}"
            )
    return latents


def checked_count(name: str, count: int, *, least: int) -> int:
    """`count` as an int.

    Raises:
      InputError: no integer, one below `least`, or one that TensorFlow's int32 does not hold.
    """
    if not isinstance(count, int | np.integer) or count < least:
        raise InputError(f"{name} {count}: expected an integer >= {least}")
    if count >= 2**31:
        raise InputError(f"{name} {count}: expected an integer below 2147483648")
    return int(count)


def checked_numbers(name: str, numbers: Arrays) -> np.ndarray:
    """Finite `numbers` as float64 [M].

    Raises:
      InputError: others, or another shape.
    """
    try:
        found = np.asarray(numbers, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected numbers ({reason(error)})") from error
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InputError(f"{name} {_written(found.shape)}: expected finite numbers [M]")
    return found


def checked_seed(seed: int) -> int:
    """`seed`, an int that TensorFlow and NumPy both take.

    Raises:
      InputError: another number.
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise InputError(f"seed {seed}: expected an integer from 0 to 2147483647")
    return int(seed)


def floats(images: Arrays) -> tf.Tensor:
    """A batch of images as a float32 tensor in [0, 1], converted as training converts them.

    Raises:
      InputError: pixels below 0, above 1, or NaN.
    """
    batch = to_float(tf.convert_to_tensor(images))
    low, high = np.min(batch, initial=0.0), np.max(batch, initial=1.0)
    if not (low >= 0.0 and high <= 1.0):  # NaN too
        low, high = np.min(batch), np.max(batch)
        raise InputError(f"float images from {low:g} to {high:g}: expected 0..1, no NaN")
    return batch


def latent_tensor(latents: Arrays, dtype: str) -> tf.Tensor:
    """A batch of latents as a tensor of the type that a model takes.

    Raises:
      InputError: NaN, infinity, or a number that the type does not hold.
    """
    batch = tf.cast(latents, dtype)
    if batch.dtype.is_floating and not np.isfinite(batch).all():
        raise InputError("latents with NaN or infinity: expected finite numbers")
    return batch


def _array(name: str, values: Arrays) -> Any:
    """`values`, an array if they were lists."""
    if hasattr(values, "shape"):
        return values
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise InputError(f"{name}: expected an array ({reason(error)})") from error


def _dtype(array: Any) -> tf.DType | None:
    """TensorFlow's type of an array; None where it has none."""
    try:
        return tf.as_dtype(array.dtype)
    except TypeError:  # such as longdouble
        return None


def _written(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
