"""Reading `.npy` and `.npz` files, which may be damaged or malicious. Imports no TensorFlow.

Sizes are checked before anything is allocated: NumPy allocates the shape that a header claims
before it reads the data, and a compressed member of a `.npz` can expand a thousandfold. Pickled
objects are refused.
"""

import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfp_vae.errors import ImageError, reason

MAX_ARRAY_BYTES = 2**34  # 16 GiB, of all arrays in one file
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
_MAGIC = b"\x93NUMPY"
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,  # version 3 is for named fields only
}


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a `.npz` by name, or the array of a `.npy` under the name "train".

    Raises:
      ImageError: another kind of file, pickled objects, a header that claims more data than the
        file has, or arrays larger than `MAX_ARRAY_BYTES` or the free memory.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # opening a named pipe would block
            raise ValueError("it is no file")
        with open(path, "rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                return {"train": _read(file, path.stat().st_size)}
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                return _members(archive)
    except Exception as error:  # zipfile, zlib and NumPy raise many types on damaged bytes
        why = reason(error)
        raise ImageError(f"{path}: not a .npy or .npz of plain arrays ({why})") from error


def _members(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    entries = archive.infolist()
    check_size(sum(entry.file_size for entry in entries))
    arrays: dict[str, np.ndarray] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name in arrays:
            raise ValueError(f"two arrays named {name!r}")
        if entry.compress_type not in _COMPRESSIONS:
            raise ValueError(f"{name!r}: expected stored or deflated")
        with archive.open(entry) as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise ValueError(f"{name!r} is no array")
            arrays[name] = _read(file, entry.file_size, exact=True)
    return arrays


def _read(file: Any, size: int, exact: bool = False) -> np.ndarray:
    """Reads one array.

    Args:
      file: a binary file that can seek.
      size: its length in bytes.
      exact: whether the array must fill the file. A zip member is only compared with its checksum
        when it is read to the end.
    """
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"format {version[0]}.{version[1]}: expected 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    given = size - file.tell()
    claimed = math.prod(shape) * dtype.itemsize  # Python integers do not overflow
    if claimed > given or (exact and claimed != given):
        raise ValueError(f"{given} bytes of data, {claimed} expected for shape {shape}")
    check_size(claimed)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def check_size(size: int) -> None:
    """Refuses arrays that are too large to read.

    Args:
      size: in bytes.

    Raises:
      ValueError: more than `MAX_ARRAY_BYTES` or the free memory.
    """
    limit = min(MAX_ARRAY_BYTES, free_memory())
    if size > limit:
        raise ValueError(f"arrays of {size} bytes: expected at most {limit}")


def free_memory() -> float:
    """Bytes that can be allocated without swapping.

    Returns:
      The available memory on Linux, the installed memory on other Unix systems, else infinity.
    """
    try:
        found = re.search(r"MemAvailable: *([0-9]+) kB", Path("/proc/meminfo").read_text())
        if found:
            return int(found[1]) * 1024
    except OSError:  # not Linux
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Unix
        return math.inf
