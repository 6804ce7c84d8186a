"""Arrays of any length through functions that take a batch: checks, memory and progress."""

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from tfp_vae.errors import InputError
from tfp_vae.images import to_float

BATCH = 512  # rows in one call: what bounds the memory
BAR_DELAY = 2.0  # seconds of work before a progress bar appears


def batched(function, count, inputs, outputs, name):
    """The `outputs` of a signature for `count` rows, computed `BATCH` rows at a time.

    Args:
      function: a signature; the first axis of all it returns is the rows.
      count: number of rows.
      inputs: (slice of rows, number of the batch) -> the arguments of `function`.
      outputs: which of its outputs to keep.
      name: what the progress bar says.

    Returns:
      A dict of float32 arrays [count, ...].
    """
    # Shapes come from the graph: TensorFlow's fused convolutions refuse a batch of none.
    shapes = {output: function.structured_outputs[output].shape[1:] for output in outputs}
    results = {output: np.empty([count, *shape], np.float32) for output, shape in shapes.items()}
    with progress_bar(count, name) as bar:
        for number, start in enumerate(range(0, count, BATCH)):
            rows = slice(start, min(start + BATCH, count))
            tensors = function(**inputs(rows, number))
            for output, result in results.items():
                result[rows] = tensors[output]
            bar.update(rows.stop - start)
    return results


def progress_bar(total, name):
    """A bar on stderr that comes after `BAR_DELAY`, in a terminal or a notebook, and goes."""
    return tqdm(total=total, desc=name, delay=BAR_DELAY, disable=None, leave=False)


def checked_images(images, shape):
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


def checked_image(image, shape):
    """One image [H, W, C], or [1, H, W, C], as a batch of one.

    Raises:
      InputError: another shape or type.
    """
    image = image if hasattr(image, "shape") else np.asarray(image)
    if tuple(image.shape) not in (shape, (1, *shape)):
        expected = ", ".join(map(str, shape))
        raise InputError(f"an image of shape {_written(image.shape)}: expected [{expected}]")
    return checked_images(image if len(image.shape) == 4 else image[np.newaxis], shape)


def checked_latents(latents, latent_size):
    """`latents`, an array if they were lists, whose shape is [N, latent_size].

    Raises:
      ValueError: another shape.
    """
    latents = latents if hasattr(latents, "shape") else np.asarray(latents)
    if len(latents.shape) != 2 or latents.shape[1] != latent_size:
        raise ValueError(f"latents of shape {_written(latents.shape)}: expected [N, {latent_size}]")
    return latents


def checked_seed(seed):
    """`seed`, an int that TensorFlow and NumPy both take.

    Raises:
      ValueError: another number.
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**31:
        raise ValueError(f"seed {seed}: expected an integer from 0 to 2147483647")
    return int(seed)


def floats(images):
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


def _written(shape):
    return f"[{', '.join(map(str, shape))}]"
