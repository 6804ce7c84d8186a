"""Codes on the grid that they come from, and a colour for each: near vectors, near colours."""

import math

import numpy as np
from sklearn.decomposition import PCA

from tfp_vae.inference.model import InferenceModel


def grid_shape(count: int, image_shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) of a grid of `count` positions with the proportions of an image [H, W, C]."""
    height, width = image_shape[:2]
    divisors = [rows for rows in range(1, count + 1) if count % rows == 0]
    rows = min(divisors, key=lambda rows: abs(math.log(rows * rows * width / (count * height))))
    return rows, count // rows


def code_colours(model: InferenceModel, position: int) -> list[str]:
    """A colour `#rrggbb` for each of the K codes at a position of the latent.

    Red, green and blue are the first three principal components of the codes' vectors.
    """
    size = model.description.codebook_size or 0
    codes = np.zeros([size, model.latent_size], np.int32)
    codes[:, position] = np.arange(size)
    vectors = model.embed(codes)[:, position]  # [K, C]
    parts = PCA(min(3, *vectors.shape)).fit_transform(vectors)
    parts = np.pad(parts, [(0, 0), (0, 3 - parts.shape[1])])
    ranks = parts.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    levels = np.rint(48 + 192 * ranks / max(1, size - 1)).astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in levels]
