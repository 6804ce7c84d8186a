"""Named arrays that belong to one model, in a `.npz` without pickled objects."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tfp_vae.errors import InputError
from tfp_vae.images.arrays import read_arrays
from tfp_vae.whole_files import replacing

TEXTS = ("names", "labels")  # the arrays that are texts; all others are numbers


def write(path: str | Path, arrays: Mapping[str, ArrayLike], *, fingerprint: str) -> None:
    """Writes arrays for one model.

    Args:
      path: the file.
      arrays: name -> array.
      fingerprint: `fingerprint` of the model that the arrays were made with.
    """
    # An open file: given a path, NumPy would append the suffix .npz to it.
    with replacing(path) as file:
        np.savez(file, fingerprint=np.asarray(fingerprint), **dict(arrays))  # type: ignore[arg-type]


def read(
    path: str | Path,
    axes: Mapping[str, str],
    *,
    fingerprint: str,
    optional: Collection[str] = (),
    kinds: str = "f",
) -> dict[str, np.ndarray]:
    """The arrays that `write` wrote.

    Args:
      path: the file.
      axes: name -> one letter for each axis of that array. Axes with the same letter must have
        the same length, also in different arrays.
      fingerprint: of the model that the arrays must belong to.
      optional: names in `axes` of arrays that may be missing.
      kinds: of NumPy's types, those that an array of numbers may have; those in `TEXTS` are texts.

    Returns:
      Name -> array, for the names in `axes`.

    Raises:
      InputError: a damaged or another kind of file, or arrays made with another model.
    """
    arrays = read_arrays(path)
    missing = [name for name in ("fingerprint", *axes) if name not in (*arrays, *optional)]
    if missing:
        raise InputError(f"{path}: no array {', '.join(missing)}: another kind of file")
    lengths: dict[str, int] = {}
    found = {name: arrays[name] for name in axes if name in arrays}
    for name, array in found.items():
        letters = axes[name]
        known = [lengths.setdefault(*axis) for axis in zip(letters, array.shape, strict=False)]
        if array.ndim != len(letters) or known != list(array.shape):
            raise InputError(f"{path}: {name} has shape {array.shape}: another kind of file")
        if not array.size:
            raise InputError(f"{path}: {name} is empty: expected at least one row")
        if array.dtype.kind not in ("U" if name in TEXTS else kinds) or (
            array.dtype.kind == "f" and not np.isfinite(array).all()
        ):
            raise InputError(f"{path}: {name} is damaged: expected finite numbers, or texts")
    if str(arrays["fingerprint"]) != fingerprint:
        raise InputError(f"{path}: made with another model: make it again with this one")
    return found
