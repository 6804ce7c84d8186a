"""Identifies the images of a run, so that `--resume` can refuse other ones."""

import hashlib

from training.config_json import DataSet
from training.data.splits import Splits


def of(splits: Splits) -> DataSet:
    """A hash of the images, and how many there are of which shape.

    Images in memory count with every pixel (BLAKE2b: about a second for a gigabyte); streamed ones
    with the names and sizes of their files, or with the version and size of the TFDS data set.
    """
    hashed = hashlib.blake2b(digest_size=16)
    shapes = {}
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        shapes[name] = (split.count, *split.shape)
        hashed.update(f"{name} {shapes[name]}\n{split.source}\n".encode(errors="surrogateescape"))
        if split.pixels is not None:
            pixels = split.pixels.numpy()
            hashed.update(f"{pixels.dtype}\n".encode())
            hashed.update(memoryview(pixels).cast("B"))
    return DataSet(fingerprint=hashed.hexdigest(), splits=shapes)
