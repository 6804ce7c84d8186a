"""Images of one size, in memory or streamed from disk."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError, reason
from tfp_vae.images.folders import IN_MEMORY_BYTES  # above it, TFDS and folders stream from disk

MIN_SIDE = 8  # pixels
SAMPLE_IMAGES = 1000  # the first of a split, that choices and statistics look at
SAMPLE_VALUES = 2**26  # of those images in all: half a gigabyte in float64


@dataclasses.dataclass(frozen=True)
class Split:
    """Images of one size, uint8 or float32: in memory, or as a stream from disk.

    Args:
      count: of images.
      shape: (H, W, C) of an image.
      pixels: [count, H, W, C], where the images are in memory.
      stream: returns a `tf.data.Dataset` of [H, W, C], or of what `decode` takes, always in one
        order, where they are not.
      decode: makes an image of an element of the stream; an image that is not used is not decoded.
      labels: returns integers [count] in that order, where there are any.
      label_names: of the classes 0, 1, ..., where they have names.
      source: what identifies the images of a stream without reading them, for example the names
        and sizes of the files.
    """

    count: int
    shape: tuple[int, int, int]
    pixels: tf.Tensor | None = None
    stream: Callable[[], tf.data.Dataset] | None = None
    decode: Callable[[Any], tf.Tensor] | None = None
    labels: Callable[[], np.ndarray] | None = None
    label_names: Sequence[str] | None = None
    source: str = ""

    def dataset(self) -> tf.data.Dataset:
        """A `tf.data.Dataset` of single images, always in one order."""
        if self.pixels is not None:
            return tf.data.Dataset.from_tensor_slices(self.pixels)
        assert self.stream is not None
        return self.decoded(self.stream())

    def decoded(self, elements: tf.data.Dataset) -> tf.data.Dataset:
        """The images of elements of the stream."""
        if self.decode is None:
            return elements
        return elements.map(self.decode, num_parallel_calls=2)

    @property
    def sample_size(self) -> int:
        """How many of the first images stand for all: 1,000, or fewer where they are large."""
        return max(1, min(SAMPLE_IMAGES, self.count, SAMPLE_VALUES // math.prod(self.shape)))

    def head(self, count: int) -> tf.Tensor:
        """The first `count` images, or all if there are fewer: [n, H, W, C].

        Raises:
          ImageError: one of them cannot be read.
        """
        try:
            return next(iter(self.dataset().batch(count)))
        except tf.errors.OpError as error:
            raise ImageError(f"images cannot be read ({reason(error)})") from error


def require_size(shape: tuple[int, ...], name: str) -> None:
    """Refuses images [H, W, ...] that are too small for the networks.

    Raises:
      ImageError: a side of fewer than 8 pixels.
    """
    if min(shape[:2]) < MIN_SIDE:
        raise ImageError(f"{name}: images of {shape[0]}x{shape[1]} pixels: expected at least 8x8")


def fits_in_memory(count: int, shape: tuple[int, ...]) -> bool:
    """Whether `count` decoded images of `shape` are to be kept in memory."""
    return count * math.prod(shape) <= IN_MEMORY_BYTES
