"""What the commands write: pictures of many images, motion, and arrays."""

import csv
import math

import numpy as np
from PIL import Image

from tfp_vae.images import grid, pairs, write_png

FRAME = 100  # milliseconds


def write_grid(path, images, *, columns=None):
    """Writes images [N, H, W, C] in [0, 1] as one PNG, in rows of `columns` or in a square."""
    write_png(path, grid(images, columns or math.ceil(len(images) ** 0.5)))


def write_pairs(path, originals, reconstructions):
    """Writes a PNG of originals [N, H, W, C], in rows, with their reconstructions below them."""
    columns = min(len(originals), math.ceil((2 * len(originals)) ** 0.5))
    write_png(path, pairs(originals, reconstructions, columns))


def write_film(path, kind, film):
    """Writes M rows of T images in [0, 1] that change along T: [M, T, H, W, C].

    Args:
      path: the file.
      kind: "png": one picture of the rows; "gif": T frames of M images, without end.
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
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=FRAME, loop=0)


def write_arrays(path, **arrays):
    """Writes a `.npz` of plain arrays."""
    with open(path, "wb") as file:  # a name in place of a file would be given the suffix .npz
        np.savez(file, **arrays)


def write_table(path, names, **columns):
    """Writes a CSV of one row for each name; a column [N, D] becomes D, numbered from 0.

    Numbers are written with the digits that tell float32 values apart.
    """
    header = [
        f"{key}_{index}" for key, values in columns.items() for index in range(values.shape[1])
    ]
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *header])
        for name, *row in zip(names, *columns.values(), strict=True):
            writer.writerow([name, *np.concatenate(row)])
