"""The splits of a data set that TensorFlow Datasets (TFDS) has prepared on this machine."""

import dataclasses
import functools
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae import errors
from tfp_vae.errors import ImageError
from tfp_vae.images import convert, files
from training.data import encoded
from training.data.split import Split, fits_in_memory, require_size

# Name, configuration and version. TFDS would also take `owner:name` and fetch that owner's code.
NAME = re.compile(r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?", re.ASCII)
SPLITS = ("train", "validation", "test")


def read(name: str, data_dir: str | None, side: int | None) -> dict[str, Split]:
    """Those of the splits "train", "validation" and "test" that the data set has.

    Args:
      name: of the data set, with configuration and version where needed.
      data_dir: where TFDS keeps its data; None is its own default.
      side: in pixels, to crop and resize the images to; None keeps their size.

    Raises:
      ImageError: an unknown name, a data set that is not prepared, or one without uint8 images.
    """
    import tensorflow_datasets as tfds  # its import takes a second

    builder = _builder(name, data_dir)
    features = dict(builder.info.features.items())
    feature = features.get("image")
    if not isinstance(feature, tfds.features.Image) or feature.np_dtype != np.uint8:
        raise ImageError(f"features {', '.join(features)}: expected image, of uint8")
    if side is None and None in feature.shape:
        raise ImageError("images of several sizes: give --image-size")
    shape = (side, side, feature.shape[-1]) if side else feature.shape
    require_size(shape, name)
    names = [split for split in SPLITS if split in builder.info.splits]
    if "train" not in names:
        raise ImageError(f"splits {', '.join(builder.info.splits)}: expected one named train")
    splits = {split: _split(builder, split, shape, side) for split in names}
    if not isinstance(features.get("label"), tfds.features.ClassLabel):
        return splits
    return {
        split: dataclasses.replace(found, labels=functools.partial(_labels, builder, split))
        for split, found in splits.items()
    }


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


def _labels(builder: Any, split: str) -> np.ndarray:
    import tensorflow_datasets as tfds

    only_label = tfds.decode.PartialDecoding({"label": True})
    examples = builder.as_dataset(split=split, shuffle_files=False, decoders=only_label)
    return np.array([example["label"] for example in examples.as_numpy_iterator()])


def _split(builder: Any, name: str, shape: tuple[int, int, int], side: int | None) -> Split:
    import tensorflow_datasets as tfds

    feature = builder.info.features["image"]
    fixed = None not in feature.shape
    limit = math.prod(feature.shape[:2]) if fixed else files.MAX_FILE_PIXELS

    def pixels(example: dict[str, tf.Tensor]) -> tf.Tensor:
        image = feature.decode_example(encoded.require(example["image"], limit))
        return convert.resize(image, side) if side else image

    def stream() -> tf.data.Dataset:
        skipped = {"image": tfds.decode.SkipDecoding()}
        only_image = tfds.decode.PartialDecoding({"image": True}, decoders=skipped)
        examples = builder.as_dataset(split=name, shuffle_files=False, decoders=only_image)
        return examples.map(pixels, num_parallel_calls=2)

    count = int(stream().cardinality())
    if not fits_in_memory(count, shape):
        size = int(builder.info.splits[name].num_bytes)
        source = f"{builder.info.full_name} {name} {size} bytes"
        return Split(count, shape, stream=stream, source=source)
    try:
        decoded = next(iter(stream().batch(count)))
    except (tf.errors.OpError, StopIteration) as error:
        raise ImageError(f"split {name} cannot be read ({errors.reason(error)})") from error
    return Split(count, shape, pixels=decoded)
