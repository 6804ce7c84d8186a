"""Codes in as many bits as they need, in a file of one model."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfp_vae.errors import InputError
from tfp_vae.latent_space import array_files

AXES = {"packed": "NP", "names": "N"}


class Compressed(NamedTuple):
    """The codes of N images."""

    codes: np.ndarray
    """int32 [N, D]."""
    names: np.ndarray
    """A text for each image, [N]."""


def bits(codebook_size: int) -> int:
    """The bits of one code: the smallest number whose power of 2 is at least `codebook_size`."""
    return (codebook_size - 1).bit_length()


def pack(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """Codes [N, D] as bytes, uint8 [N, P]: the bits of each, highest first, without a gap.

    The last byte of an image is filled with zeros.
    """
    places = np.arange(bits(codebook_size))[::-1]
    ones = (np.asarray(codes)[..., np.newaxis] >> places) & 1
    return np.packbits(ones.reshape(len(codes), -1).astype(np.uint8), axis=1)


def unpack(packed: np.ndarray, size: int, codebook_size: int) -> np.ndarray:
    """The codes int32 [N, size] that `pack` made `packed` [N, P] of."""
    width = bits(codebook_size)
    ones = np.unpackbits(packed, axis=1, count=size * width).reshape(len(packed), size, width)
    return (ones.astype(np.int32) << np.arange(width)[::-1]).sum(axis=-1, dtype=np.int32)


def save(
    path: Path,
    codes: np.ndarray,
    codebook_size: int,
    *,
    names: Sequence[str],
    fingerprint: str,
) -> None:
    """Writes a `.npz`.

    Args:
      path: the file.
      codes: int32 [N, D].
      codebook_size: K.
      names: a text for each image, [N].
      fingerprint: `InferenceModel.fingerprint` of the model that encoded the images.
    """
    arrays = {"packed": pack(codes, codebook_size), "names": np.asarray(names, str)}
    array_files.write(path, arrays, fingerprint=fingerprint)


def load(path: Path, size: int, codebook_size: int, *, fingerprint: str) -> Compressed:
    """What `save` wrote.

    Args:
      path: the file.
      size: D.
      codebook_size: K.
      fingerprint: of the model that decodes the images.

    Raises:
      InputError: a damaged or another kind of file, or codes of another model.
    """
    arrays = array_files.read(path, AXES, fingerprint=fingerprint, kinds="u")
    packed = arrays["packed"]
    expected = -(-size * bits(codebook_size) // 8)
    if packed.dtype != np.uint8 or packed.shape[1] != expected:
        raise InputError(f"{path}: {packed.shape[1]} bytes an image: expected {expected}")
    codes = unpack(packed, size, codebook_size)
    if codes.size and codes.max() >= codebook_size:
        raise InputError(f"{path}: code {codes.max()}: expected codes below {codebook_size}")
    return Compressed(codes, arrays["names"])
