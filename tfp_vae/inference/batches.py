"""Arrays of any length through functions that take a batch: checks, memory and progress."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.errors import InputError
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
    """
    # Shapes come from the graph: TensorFlow's fused convolutions refuse an empty batch.
    specs = {output: function.structured_outputs[output] for output in outputs}
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
    images = images if hasattr(images, "shape") else np.asarray(images)
    if len(images.shape) != 4 or tuple(images.shape[1:]) != shape:
        expected = ", ".join(map(str, ["N", *shape]))
        raise InputError(f"images of shape {_written(images.shape)}: expected [{expected}]")
    dtype = tf.as_dtype(images.dtype)
    if not (dtype == tf.uint8 or dtype.is_floating):
        raise InputError(f"{dtype.name} images: expected floats in [0, 1] or uint8 0..255")
    in_memory = isinstance(images, np.ndarray | tf.Tensor)
    if dtype == tf.uint8 and in_memory and np.max(images, initial=0) == 1:
        raise InputError("uint8 images of 0 and 1 only: expected 0..255, or floats in [0, 1]")
    return images


def checked_image(image: Arrays, shape: tuple[int, ...]) -> Any:
    """One image [H, W, C], or [1, H, W, C], as a batch of one.

    Raises:
      InputError: another shape or type.
    """
    image = image if hasattr(image, "shape") else np.asarray(image)
    if tuple(image.shape) not in (shape, (1, *shape)):
        expected = ", ".join(map(str, shape))
        raise InputError(f"an image of shape {_written(image.shape)}: expected [{expected}]")
    return checked_images(image if len(image.shape) == 4 else image[np.newaxis], shape)


def checked_latents(latents: Arrays, latent_size: int, codebook_size: int | None = None) -> Any:
    """`latents`, an array if they were lists, whose shape is [N, latent_size].

    Raises:
      InputError: another shape; or, where latents are codes, others than 0..codebook_size - 1.
    """
    latents = latents if hasattr(latents, "shape") else np.asarray(latents)
    if len(latents.shape) != 2 or latents.shape[1] != latent_size:
        raise InputError(f"latents of shape {_written(latents.shape)}: expected [N, {latent_size}]")
    if not (tf.as_dtype(latents.dtype).is_floating or tf.as_dtype(latents.dtype).is_integer):
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
      InputError: no integer, or one below `least`.
    """
    if not isinstance(count, int | np.integer) or count < least:
        raise InputError(f"{name} {count}: expected an integer >= {least}")
    return int(count)


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


def _written(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
