"""Silences Pillow's warnings while a file is read. Imports no TensorFlow."""

import contextlib
import threading
import warnings
from collections.abc import Iterator

_lock = threading.Lock()
_readers = 0  # threads that read a file now
_filters = warnings.catch_warnings()


@contextlib.contextmanager
def pillow_silenced() -> Iterator[None]:
    """Ignores the warnings of Pillow, such as "Corrupt EXIF data", inside the `with` statement.

    `warnings.catch_warnings` alone would do in one thread. It swaps filters that all threads share:
    here the first of several readers swaps them, and the last one swaps them back.
    """
    global _readers, _filters
    with _lock:
        if not _readers:
            _filters = warnings.catch_warnings()
            _filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _filters.__exit__(None, None, None)
