"""Arrays by name that belong to one model, in a `.npz` without pickled objects."""

import numpy as np

from tfp_vae.errors import InputError
from tfp_vae.plain_arrays import read_arrays


def write(path, arrays, *, fingerprint):
    """Writes `arrays`, a dict, for the model with that `SavedVAE.fingerprint`."""
    with open(path, "wb") as file:  # a name in place of a file would be given the suffix .npz
        np.savez(file, fingerprint=fingerprint, **arrays)


def read(path, axes, *, fingerprint, optional=()):
    """The arrays that `write` wrote.

    Args:
      path: the file.
      axes: name -> one letter for each axis of that array; axes of one letter have one length.
      fingerprint: of the model that the arrays must belong to.
      optional: names in `axes` of arrays that may be missing.

    Returns:
      Name -> array, of the names in `axes`.

    Raises:
      InputError: another kind of file, or arrays that belong to another model.
    """
    arrays = read_arrays(path)
    missing = [name for name in ("fingerprint", *axes) if name not in (*arrays, *optional)]
    if missing:
        raise InputError(f"{path}: no array {', '.join(missing)}: another kind of file")
    lengths = {}
    found = {name: arrays[name] for name in axes if name in arrays}
    for name, array in found.items():
        letters = axes[name]
        known = [lengths.setdefault(*axis) for axis in zip(letters, array.shape, strict=False)]
        if array.ndim != len(letters) or known != list(array.shape):
            raise InputError(f"{path}: {name} has shape {array.shape}: another kind of file")
        if array.dtype.kind not in "fU" or (
            array.dtype.kind == "f" and not np.isfinite(array).all()
        ):
            raise InputError(f"{path}: {name} is damaged: expected finite floats, or texts")
    if str(arrays["fingerprint"]) != fingerprint:
        raise InputError(f"{path}: made with another model: make it again with this one")
    return found
