"""Images and labels of data sets that TensorFlow Datasets (TFDS) has prepared on this machine."""

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfp_vae import errors
from tfp_vae.errors import ImageError
from tfp_vae.images import convert, encoded, files
from tfp_vae.images.colours import BLACK, Colour
from tfp_vae.images.labels import Labels

# Name, configuration and version. TFDS would also take `owner:name` and fetch that owner's code.
PREFIX = "tfds:"  # of a source of a command that is a split of a data set
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)


class DataSet:
    """A data set with a uint8 `image`.

    Args:
      name: of the data set, with configuration and version where needed.
      data_dir: where TFDS keeps its data; None is its own default.
      background: what images with an alpha channel are composited on.

    Raises:
      ImageError: an unknown name, a data set that is not prepared, or one without uint8 images.
    """

    def __init__(self, name: str, data_dir: str | None = None, background: Colour = BLACK) -> None:
        import tensorflow_datasets as tfds  # its import takes a second

        with _quiet():
            self.builder = _builder(name, data_dir)
        self._background = background
        features = dict(self.builder.info.features.items())
        feature = features.get("image")
        if not isinstance(feature, tfds.features.Image) or feature.np_dtype != np.uint8:
            raise ImageError(f"features {', '.join(features)}: expected image, of uint8")
        self._feature = feature
        height, width, channels = feature.shape
        self.shape = (height, width, 3 if channels == 4 else channels)
        """(H, W, C); H and W are None where images differ in size."""
        label = features.get("label")
        self.label_names: tuple[str, ...] | None = None
        """Of the classes; None where the data set has no labels."""
        if isinstance(label, tfds.features.ClassLabel):
            self.label_names = tuple(label.names)

    @property
    def splits(self) -> list[str]:
        """Their names."""
        return list(self.builder.info.splits)

    def count(self, split: str) -> int:
        """How many images a split has."""
        return int(self.examples(split).cardinality())

    def stream(
        self,
        split: str,
        size: int | tuple[int, int] | None = None,
        rows: range | None = None,
    ) -> tf.data.Dataset:
        """The images of a split, uint8 [H, W, C], always in one order.

        Args:
          split: its name.
          size: (height, width), or the side of a square, to crop and resize to; None keeps all.
          rows: which images, one after the other; None is all.
        """
        examples = _chosen(self.examples(split), rows)
        return examples.map(lambda example: self.decode(example, size), num_parallel_calls=2)

    def labels(self, split: str, rows: range | None = None) -> Labels:
        """The labels of a split, in the order of `stream`; only where there are `label_names`.

        Raises:
          ImageError: damaged files of the data set.
        """
        import tensorflow_datasets as tfds

        only_label = tfds.decode.PartialDecoding({"label": True})
        examples = self._dataset(split, only_label)
        chosen = _chosen(examples, rows).as_numpy_iterator()
        with _named(split):
            indices = [example["label"] for example in chosen]
        return Labels(np.array(indices), self.label_names)

    def examples(self, split: str) -> tf.data.Dataset:
        """The images of a split before they are decoded, each as {"image": text}."""
        import tensorflow_datasets as tfds

        skipped = {"image": tfds.decode.SkipDecoding()}
        only_image = tfds.decode.PartialDecoding({"image": True}, decoders=skipped)
        return self._dataset(split, only_image)

    def _dataset(self, split: str, decoders: Any) -> tf.data.Dataset:
        with _quiet():
            return self.builder.as_dataset(split=split, shuffle_files=False, decoders=decoders)

    def decode(
        self, example: dict[str, tf.Tensor], size: int | tuple[int, int] | None
    ) -> tf.Tensor:
        """The image of one of the `examples`, uint8 [H, W, C]; `size` as in `stream`."""
        height, width, channels = self._feature.shape
        fixed = height is not None and width is not None
        limit = math.prod((height, width)) if fixed else files.MAX_FILE_PIXELS
        image = self._feature.decode_example(encoded.require(example["image"], limit))
        if channels == 4:
            image = convert.composite(image, self._background)
        return image if size is None else convert.resize(image, size)


def decoded(stream: tf.data.Dataset, split: str) -> tf.Tensor:
    """All images of a stream of one shape, uint8 [N, H, W, C].

    Raises:
      ImageError: no image, or damaged files of the data set.
    """
    with _named(split):
        return next(iter(stream.batch(max(1, int(stream.cardinality())))))


@contextlib.contextmanager
def _named(split: str) -> Iterator[None]:
    """Turns an error of TensorFlow, as of a damaged file, into one line that names the split."""
    try:
        yield
    except (tf.errors.OpError, StopIteration) as error:
        raise ImageError(f"split {split} cannot be read ({errors.reason(error)})") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back the warnings that TFDS logs of its own code."""
    level = logging.get_verbosity()
    logging.set_verbosity(min(level, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _chosen(examples: tf.data.Dataset, rows: range | None) -> tf.data.Dataset:
    return examples if rows is None else examples.skip(rows.start).take(len(rows))


def _builder(name: str, data_dir: str | None) -> Any:
    import tensorflow_datasets as tfds

    if not NAME.fullmatch(name):
        raise ImageError("no such file or folder, and no name of a TFDS data set")
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:  # unknown name, version or configuration
        why = errors.reason(error)
        raise ImageError(f"no such file or folder, and no TFDS data set ({why})") from error
    if not builder.is_prepared():
        where = f", data_dir={data_dir!r}" if data_dir else ""
        raise ImageError(
            f"TFDS has not prepared it in {builder.data_path.parent.parent}: "
            f"fetch it once, in Python: tensorflow_datasets.builder({name!r}{where})"
            ".download_and_prepare()"
        )
    return builder
