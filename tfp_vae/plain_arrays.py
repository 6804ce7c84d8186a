"""Arrays from `.npy` and `.npz` files that anyone may have made. Imports no TensorFlow.

A header is believed only as far as the file bears it out: NumPy allocates what a header claims
before it reads, and a deflated member may claim a thousand times its own size. Pickles are refused.
"""

import math
import os
import re
import zipfile
from pathlib import Path

import numpy as np

from tfp_vae.errors import ImageError, reason

MAX_ARRAY_BYTES = 2**34  # 16 GiB of arrays in one file, and never more than the free memory
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that NumPy writes
MAGIC = b"\x93NUMPY"
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,  # version 3 is for named fields only
}


def read_arrays(path):
    """The arrays of a `.npz`, or of a `.npy` under the name "train".

    Raises:
      ImageError: not such a file, one that holds pickled objects or claims more than it has, or
        more than `MAX_ARRAY_BYTES` or the free memory.
    """
    path = Path(path)
    try:
        # Opening a pipe would wait for a writer.
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) == MAGIC:
                return {"train": _read(file, path.stat().st_size)}
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                return _members(archive)
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds on damaged bytes
        why = reason(error)
        raise ImageError(f"{path}: not a .npy or .npz of plain arrays ({why})") from error


def _members(archive):
    entries = archive.infolist()
    _check_size(sum(entry.file_size for entry in entries))
    arrays = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name in arrays:
            raise ValueError(f"two arrays named {name!r}")
        if entry.compress_type not in COMPRESSIONS:
            raise ValueError(f"{name!r}: expected stored or deflated")
        with archive.open(entry) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ValueError(f"{name!r} is no array")
            arrays[name] = _read(file, entry.file_size, exact=True)
    return arrays


def _read(file, size, exact=False):
    """The array in `size` bytes; `exact`: nothing follows it, so that a zip's checksum is seen."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"format {version[0]}.{version[1]}: expected 1.0 or 2.0")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    given, claimed = size - file.tell(), math.prod(shape) * dtype.itemsize  # Python's: no overflow
    if claimed > given or (exact and claimed != given):
        raise ValueError(f"{given} bytes of data, {claimed} expected for shape {shape}")
    _check_size(claimed)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _check_size(size):
    limit = min(MAX_ARRAY_BYTES, free_memory())
    if size > limit:
        raise ValueError(f"arrays of {size} bytes: expected at most {limit}")


def free_memory():
    """Bytes that can be allocated without swapping; all of the memory where the system tells less.

    Returns:
      A number; infinity where nothing is known.
    """
    try:
        text = Path("/proc/meminfo").read_text()
        return int(re.search(r"MemAvailable: *([0-9]+) kB", text)[1]) * 1024
    except (OSError, TypeError):  # not Linux
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf
