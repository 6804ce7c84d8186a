"""The files that the commands write: pictures of many images, animations, arrays and tables."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfp_vae.images.grids import grid, pairs, to_bytes, write_png
from tfp_vae.whole_files import replacing

FRAME_MS = 100  # how long a GIF shows one frame


def write_grid(path: Path, images: np.ndarray, *, columns: int | None = None) -> None:
    """Writes images [N, H, W, C] in [0, 1] as one PNG, in rows of `columns` or in a square."""
    write_png(path, grid(images, columns or math.ceil(len(images) ** 0.5)))


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes one image [H, W, C] in [0, 1] as a PNG of its own size."""
    write_png(path, to_bytes(image))


def write_pairs(path: Path, originals: np.ndarray, reconstructions: np.ndarray) -> None:
    """Writes a PNG of originals [N, H, W, C], in rows, with their reconstructions below them."""
    columns = min(len(originals), math.ceil((2 * len(originals)) ** 0.5))
    write_png(path, pairs(originals, reconstructions, columns))


def write_film(path: Path, kind: str, film: np.ndarray) -> None:
    """Writes M sequences of T images in [0, 1], [M, T, H, W, C], as a picture or an animation.

    Args:
      path: the file.
      kind: "png": one picture of the rows; "gif": T frames of M images, in an endless loop.
      film: the images.
    """
    if kind == "png":
        write_grid(path, film.reshape(-1, *film.shape[2:]), columns=film.shape[1])
        return
    columns = math.ceil(film.shape[0] ** 0.5)
    frames = [grid(film[:, time], columns) for time in range(film.shape[1])]
    first, *rest = (
        Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames
    )
    with replacing(path) as file:
        first.save(file, "GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)


def write_arrays(path: Path, **arrays: Any) -> None:
    """Writes a `.npz` of plain arrays."""
    with replacing(path) as file:  # to a file's name NumPy appends .npz
        np.savez(file, **arrays)


def write_table(path: Path, texts: Mapping[str, Sequence[str]], **columns: np.ndarray) -> None:
    """Writes a CSV of N rows: columns of texts, then of numbers.

    A column [N, D] of numbers becomes D columns, numbered from 0. Numbers have enough digits to
    restore the float32 values exactly.
    """
    header = [
        f"{key}_{index}" for key, values in columns.items() for index in range(values.shape[1])
    ]
    # UTF-8 as file names have it, also where they are not valid.
    text = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replacing(path, "w", **text) as file:
        writer = csv.writer(file)
        writer.writerow([*texts, *header])
        rows = zip(zip(*texts.values(), strict=True), *columns.values(), strict=True)
        for words, *row in rows:
            writer.writerow([*words, *np.concatenate(row)])
