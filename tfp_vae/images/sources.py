"""The images that a command is given, in the shape of a model, and their labels.

A source is an image file, a folder, an array in a file, or a split of a TFDS data set.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfp_vae.errors import ImageError
from tfp_vae.images import convert, files, labels
from tfp_vae.images.array_sources import Part, Shape, check_shape, read_array, read_tfds
from tfp_vae.images.colours import BLACK, Colour
from tfp_vae.images.folders import IN_MEMORY_BYTES, ImageFiles, measure
from tfp_vae.images.tfds import PREFIX as TFDS

# FILE.npy, FILE.npz or FILE.npz:ARRAY, each optionally followed by :ROW.
ARRAY_SOURCE = re.compile(r"(.+?\.np[yz])(?::([^:]*[^:0-9][^:]*))?(?::([0-9]+))?", re.IGNORECASE)
# tfds:NAME:SPLIT, optionally followed by :ROW.
TFDS_SOURCE = re.compile(
    TFDS + r"([a-z]\w*(?:/[\w.+-]+)?(?::\d+\.\d+\.\d+)?):([a-z_]\w*)(?::([0-9]+))?",
    re.ASCII | re.IGNORECASE,
)


class Collection(NamedTuple):
    """N images of one shape. Given one of the names, `read_one` reads that image alone."""

    pixels: np.ndarray | ImageFiles  # [N, H, W, C], uint8 or float32 in [0, 1]
    names: list[str]
    labels: list[str] | None = None  # of each image, where all sources have labels
    left_out: str = ""  # one line that says which damaged files were left out

    def with_label(self, label: str) -> np.ndarray | ImageFiles:
        """The images that have a label, [n, H, W, C].

        Raises:
          ImageError: no image has it; the message says which labels there are, at most ten.
        """
        given = self.labels or []
        rows = [row for row, found in enumerate(given) if found == label]
        if not rows:
            known = sorted(set(given))
            more = ", ..." if len(known) > 10 else ""
            raise ImageError(f"no label {label}: expected one of {', '.join(known[:10])}{more}")
        return self._images(rows)

    def evenly(self, limit: int) -> "Collection":
        """At most `limit` of the images, evenly spaced."""
        count = len(self.names)
        if count <= limit:
            return self
        rows = np.linspace(0, count - 1, limit).astype(int).tolist()
        return Collection(
            self._images(rows),
            [self.names[row] for row in rows],
            None if self.labels is None else [self.labels[row] for row in rows],
            self.left_out,
        )

    def _images(self, rows: list[int]) -> np.ndarray | ImageFiles:
        pixels = self.pixels
        return pixels[rows] if isinstance(pixels, np.ndarray) else pixels.select(rows)


def read(
    sources: Sequence[str],
    image_shape: Shape,
    *,
    resize: bool = False,
    background: Colour = BLACK,
    skip_damaged: bool = False,
    need_labels: bool = False,
    data_dir: str | None = None,
) -> Collection:
    """The images of `sources`, converted as training converts them.

    Args:
      sources: PNG or JPEG files, and folders of them, searched recursively; or arrays: FILE.npy,
        FILE.npz or FILE.npz:ARRAY, and splits of TFDS, tfds:NAME:SPLIT, with :ROW for one image.
      image_shape: (H, W, C) of the model.
      resize: whether to crop and resize images of another size, and to make colour images grey for
        a model of grey images. Grey images always become colour for a model of colour images, as
        in training.
      background: what transparent images are composited on.
      skip_damaged: whether to leave out damaged files; otherwise they are an error.
      need_labels: whether a source without labels is an error.
      data_dir: where TFDS keeps its data; None is its own default.

    Raises:
      ImageError: a source that cannot be read, or whose images have another shape.
    """
    arrays = [source for source in sources if is_array(source)]
    if arrays and len(arrays) < len(sources):
        raise ImageError(f"{', '.join(sources)}: expected image files or arrays, not both")
    if not arrays:
        return _read_files(sources, image_shape, resize, background, skip_damaged, need_labels)
    parts = [_read_array(source, image_shape, resize, background, data_dir) for source in sources]
    known = [part.labels for part in parts if part.labels is not None]
    if need_labels and len(known) < len(parts):
        bare = next(s for s, part in zip(sources, parts, strict=True) if part.labels is None)
        raise _no_labels(bare)
    pixels = [part.pixels for part in parts]
    if len({part.dtype for part in pixels}) > 1:  # uint8 0..255 and floats 0..1
        pixels = [convert.to_float(part).numpy() for part in pixels]
    names = [name for part in parts for name in part.names]
    texts = [text for given in known for text in given] if len(known) == len(parts) else None
    return Collection(np.concatenate(pixels), names, texts)


def read_one(
    source: str, image_shape: Shape, *, resize: bool = False, background: Colour = BLACK
) -> np.ndarray:
    """The one image of `source`, [1, H, W, C]; arguments as for `read`.

    Raises:
      ImageError: as `read`, or `source` has several images.
    """
    return read_alone(source, image_shape, resize=resize, background=background).pixels[0:1]


def read_alone(
    source: str, image_shape: Shape, *, resize: bool = False, background: Colour = BLACK
) -> Collection:
    """As `read_one`, with the name and the label of the image."""
    found = read([source], image_shape, resize=resize, background=background)
    if len(found.names) != 1:
        count, first = len(found.names), found.names[0]
        raise ImageError(f"{source}: {count} images: expected one, such as {first}")
    return found


def is_array(source: str) -> bool:
    """Whether a source is an array or a split of TFDS, and no image file or folder."""
    return source.startswith(TFDS) or ARRAY_SOURCE.fullmatch(source) is not None


def _read_array(
    source: str, image_shape: Shape, resize: bool, background: Colour, data_dir: str | None
) -> Part:
    if not source.startswith(TFDS):
        match = ARRAY_SOURCE.fullmatch(source)
        assert match is not None
        path, array, row = match.groups()
        return read_array(path, array, row, image_shape, resize)
    match = TFDS_SOURCE.fullmatch(source)
    if match is None:
        raise ImageError(
            f"{source}: expected tfds:NAME:SPLIT or tfds:NAME:SPLIT:ROW, such as tfds:mnist:test"
        )
    data_set, split, row = match.groups()
    return read_tfds(data_set, split, row, image_shape, resize, background, data_dir)


def _read_files(
    sources: Sequence[str],
    image_shape: Shape,
    resize: bool,
    background: Colour,
    skip_damaged: bool,
    need_labels: bool,
) -> Collection:
    found = [_files(Path(source)) for source in sources]
    paths = [path for several in found for path in several]
    in_memory = len(paths) * math.prod(image_shape) <= IN_MEMORY_BYTES
    measured = measure(paths, skip_damaged=skip_damaged, in_memory=lambda _: in_memory)
    for path, shape in zip(measured.paths, measured.shapes, strict=True):
        check_shape(str(path), shape, image_shape, resize)
    bad, texts = set(measured.damaged), []
    for source, several in zip(sources, found, strict=True):
        kept = [path for path in several if path not in bad]
        known = labels.of_folder(Path(source), kept) if Path(source).is_dir() else None
        if need_labels and known is None:
            raise _no_labels(source)
        texts += known.texts() if known else []
    images = ImageFiles(measured.paths, image_shape, background, measured.threads)
    pixels = images.load() if in_memory else images
    names, left_out = [str(path) for path in measured.paths], measured.left_out()
    return Collection(pixels, names, texts if len(texts) == len(names) else None, left_out)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return files.find_files(path)
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder")
    return [path]


def _no_labels(source: str) -> ImageError:
    return ImageError(
        f"{source}: no labels: expected a folder whose files are all in sub-folders, an array of "
        "a .npz with its _labels, or a TFDS split with a label"
    )
