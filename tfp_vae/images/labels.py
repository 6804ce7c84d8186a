"""Class labels of images: the names of sub-folders, and arrays beside the images'. No TensorFlow.

In a `.npz`, `<name>_labels` [N] labels the images of the array `<name>`, with integers or strings;
`label_names` [K], where there is one, names the integers 0 .. K - 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfp_vae.errors import ImageError

SUFFIX = "_labels"
NAMES = "label_names"


class Labels(NamedTuple):
    """The classes of N images."""

    indices: np.ndarray  # integers [N]
    names: tuple[str, ...] | None  # of the classes 0, 1, ..., where they have names

    def texts(self) -> list[str]:
        """A label for each image: its class's name, or the integer where that has none."""
        names = dict(enumerate(self.names or ()))
        return [names.get(index, str(index)) for index in self.indices.tolist()]


def of_folder(folder: Path, paths: Sequence[Path]) -> Labels | None:
    """The labels of files in a folder: the sub-folder of each, however deep the file is in it.

    Args:
      folder: the folder.
      paths: files below it.

    Returns:
      Indices into the sorted names of the sub-folders; None where a file is in no sub-folder.
    """
    parts = [path.relative_to(folder).parts for path in paths]
    if any(len(part) < 2 for part in parts):
        return None
    return _of_texts([part[0] for part in parts])


def are_labels(name: str) -> bool:
    """Whether an array of that name in a `.npz` holds labels, and no images."""
    return name.endswith(SUFFIX) or name == NAMES


def of_arrays(arrays: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, Labels]:
    """The labels of those arrays of images in a `.npz` that have any.

    Args:
      arrays: all arrays of the file, by name.
      names: of those that hold images, [N, ...] each.

    Returns:
      Labels by name of the array of images. A class has the same index in all.

    Raises:
      ImageError: labels of another number or kind.
    """
    given = {name: arrays[name + SUFFIX] for name in names if name + SUFFIX in arrays}
    for name, values in given.items():
        count = len(arrays[name])
        if values.shape != (count,) or values.dtype.kind not in "iuU":
            raise ImageError(
                f"{name + SUFFIX}: {values.dtype} {list(values.shape)}: "
                f"expected integers or strings [{count}]"
            )
    if len({values.dtype.kind == "U" for values in given.values()}) > 1:
        raise ImageError(f"{', '.join(name + SUFFIX for name in given)}: expected one type in all")
    if any(values.dtype.kind == "U" for values in given.values()):
        together = _of_texts(np.concatenate(list(given.values())).tolist())
        ends = np.cumsum([len(values) for values in given.values()])
        pieces = np.split(together.indices, ends[:-1])
        return {
            name: Labels(piece, together.names) for name, piece in zip(given, pieces, strict=True)
        }
    classes = _class_names(arrays) if given else None
    for name, values in given.items():
        if classes is not None and not (values.min() >= 0 and values.max() < len(classes)):
            raise ImageError(
                f"{name + SUFFIX}: {values.min()} to {values.max()}: "
                f"expected 0 to {len(classes) - 1}, the rows of {NAMES}"
            )
    return {name: Labels(values.astype(np.int64), classes) for name, values in given.items()}


def _class_names(arrays: Mapping[str, np.ndarray]) -> tuple[str, ...] | None:
    if NAMES not in arrays:
        return None
    names = arrays[NAMES]
    if names.ndim != 1 or not len(names) or names.dtype.kind != "U":
        raise ImageError(f"{NAMES}: {names.dtype} {list(names.shape)}: expected strings [K]")
    return tuple(names.tolist())


def _of_texts(texts: Sequence[str]) -> Labels:
    names = tuple(sorted(set(texts)))
    places = {name: index for index, name in enumerate(names)}
    return Labels(np.array([places[text] for text in texts]), names)
