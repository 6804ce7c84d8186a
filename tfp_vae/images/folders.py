"""Many image files: which of them are damaged, and their pixels in one shape."""

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images import convert, files
from tfp_vae.images.colours import BLACK, Colour
from tfp_vae.progress import progress_bar

Shape = tuple[int, int, int]  # (H, W, C)

IN_MEMORY_BYTES = 2**30  # of decoded pixels; above it, image files stream from disk
MAX_NAMED = 10  # damaged files that a message names
# Mean pixels of a file from which two threads decode faster than one: with smaller files they wait
# for one another, as most of the time is Python's.
THREADED_PIXELS = 100_000


class Measured(NamedTuple):
    """Image files that can be read."""

    paths: list[Path]
    shapes: list[Shape]  # of each file
    damaged: list[Path]  # those that were left out

    @property
    def threads(self) -> int:
        """How many threads decode these files fastest."""
        pixels = sum(height * width for height, width, _ in self.shapes)
        return 2 if pixels >= THREADED_PIXELS * len(self.shapes) else 1

    def left_out(self) -> str:
        """One line that says which files were left out; empty where none was."""
        count = len(self.damaged)
        return f"left out {_files(count)}, damaged: {_listed(self.damaged)}" if count else ""


def measure(
    paths: Sequence[Path], *, skip_damaged: bool, in_memory: Callable[[list[Shape]], bool]
) -> Measured:
    """Reads the header of each file.

    Args:
      paths: image files.
      skip_damaged: whether to decode each file once, and to leave out those that are damaged.
      in_memory: shapes of the files -> whether they will be decoded at once. If so, files with a
        damaged body are named together with those that have a damaged header.

    Raises:
      ImageError: damaged files that are not left out, or no other files. One line names them.
    """
    shapes: dict[Path, Shape] = {}

    def header(_: int, path: Path) -> None:
        shapes[path] = files.file_shape(path)

    def body(_: int, path: Path) -> None:
        files.read_file(path, channels=3)

    damaged = _for_each(header, paths, "headers")
    headed = [path for path in paths if path in shapes]
    kept = Measured(headed, [shapes[path] for path in headed], [])
    if skip_damaged or (damaged and kept.paths and in_memory(kept.shapes)):
        damaged |= _for_each(body, kept.paths, "checking files", kept.threads)
    good = [path for path in kept.paths if path not in damaged]
    if damaged and not (skip_damaged and good):
        raise _damage(damaged, paths)
    return Measured(good, [shapes[path] for path in good], sorted(damaged))


class ImageFiles:
    """Image files that look like an array uint8 [N, H, W, C]; slicing reads the files.

    Args:
      paths: N image files.
      image_shape: (H, W, C), to which images of another size are cropped and resized.
      background: what transparent images are composited on.
      threads: how many decode.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        image_shape: Shape,
        background: Colour = BLACK,
        threads: int = 1,
    ) -> None:
        self.paths = paths
        self.shape = (len(paths), *image_shape)
        self.dtype = np.dtype(np.uint8)
        self.background = background
        self._threads = threads

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.stack([self.read(path) for path in self.paths[rows]])

    def read(self, path: str | Path) -> np.ndarray:
        """One file in this shape, uint8 [H, W, C].

        Raises:
          ImageError: a damaged file.
        """
        pixels = files.read_file(path, self.shape[-1], self.background)
        if pixels.shape == self.shape[1:]:
            return pixels
        return _resizer(self.shape[1:])(pixels).numpy()

    def select(self, rows: Sequence[int]) -> "ImageFiles":
        """Some of the files."""
        paths = [self.paths[row] for row in rows]
        return ImageFiles(paths, self.shape[1:], self.background, self._threads)

    def load(self) -> np.ndarray:
        """All of them, uint8 [N, H, W, C].

        Raises:
          ImageError: damaged files; one line names them.
        """
        pixels = np.empty(self.shape, self.dtype)

        def read(row: int, path: Path) -> None:
            pixels[row] = self.read(path)

        damaged = _for_each(read, self.paths, "reading files", self._threads)
        if damaged:
            raise _damage(damaged, self.paths)
        return pixels


@functools.lru_cache(maxsize=4)
def _resizer(image_shape: Shape) -> Callable[[np.ndarray], tf.Tensor]:
    """`convert.resize` to that shape, as a graph: a small image takes a tenth of the time.

    It is kept, because to trace it again takes long, and TensorFlow warns of it.
    """
    any_size = tf.TensorSpec([None, None, image_shape[2]], tf.uint8)
    return tf.function(
        lambda image: convert.resize(image, image_shape[:2]), input_signature=[any_size]
    )


def _damage(damaged: Mapping[Path, ImageError], paths: Sequence[Path]) -> ImageError:
    """The error that names all damaged files among `paths`; of a single one it says why."""
    count, total = len(damaged), len(set(paths))
    if total == 1:
        return next(iter(damaged.values()))
    if count == total:
        return ImageError(f"all {_files(count)} are damaged: {_listed(sorted(damaged))}")
    if count == 1:
        (error,) = damaged.values()
        return ImageError(f"1 of {total} files: {error}: --skip-damaged leaves it out")
    return ImageError(
        f"{count} of {total} files are damaged: {_listed(sorted(damaged))}: "
        "--skip-damaged leaves them out"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _listed(paths: Sequence[Path]) -> str:
    more = ", ..." if len(paths) > MAX_NAMED else ""
    return ", ".join(map(str, paths[:MAX_NAMED])) + more


def _for_each(
    read: Callable[[int, Path], None], paths: Sequence[Path], name: str, threads: int = 1
) -> dict[Path, ImageError]:
    """Calls `read` with the row of each file, from 0, and its path.

    Args:
      read: raises an `ImageError` where the file is damaged.
      paths: the files.
      name: what the progress bar says.
      threads: how many call `read`.

    Returns:
      The errors of the damaged files.
    """

    def attempt(row: int, path: Path) -> ImageError | None:
        try:
            read(row, path)
        except ImageError as error:
            return error
        return None

    damaged = {}
    with progress_bar(len(paths), name) as bar, ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 else pool.map
        outcomes = run(attempt, range(len(paths)), paths)
        for path, error in zip(paths, outcomes, strict=True):
            if error is not None:
                damaged[path] = error
            bar.update()
    return damaged
