"""Files that are replaced when they are whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """An open file that takes the place of `path` at the end; after an error nothing has changed.

    Args:
      path: the file, which need not exist.
      mode: "wb", or "w" for texts.
      options: of `open`.
    """
    target = Path(path).resolve()  # of a symbolic link, what it points to
    new = target.with_name(f".{os.getpid()}.new")
    try:
        with open(new, mode, **options) as file:
            yield file
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
