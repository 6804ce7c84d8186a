"""Paths between two latents, and the direction from one group of them to another."""

import numpy as np
from numpy.typing import ArrayLike

from tfp_vae.errors import InputError

MIN_SINE = 1e-6  # of the angle between two vectors; below it the great circle is ill-conditioned


def linear(start: ArrayLike, stop: ArrayLike, *, steps: int) -> np.ndarray:
    """Evenly spaced latents on the straight line from `start` [D] to `stop` [D].

    Returns:
      float64 [steps, D]; the first row is `start` and the last is `stop`.
    """
    fraction = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    return (1.0 - fraction) * np.asarray(start) + fraction * np.asarray(stop)


def spherical(start: ArrayLike, stop: ArrayLike, *, steps: int) -> np.ndarray:
    """Latents at evenly spaced angles on the arc from `start` [D] to `stop` [D].

    Spherical linear interpolation: Shoemake, "Animating rotation with quaternion curves" (1985);
    for latents, White, "Sampling generative networks" (2016). Draws from a high-dimensional
    standard normal have nearly the same length, and so do the latents on the arc; those on the
    straight line are shorter. The arc is undefined for vectors that are parallel, opposite or
    zero: for these, the straight line is returned.

    Returns:
      float64 [steps, D]; the first row is `start` and the last is `stop`.
    """
    start, stop = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    lengths = np.linalg.norm(start) * np.linalg.norm(stop)
    cosine = np.clip(start @ stop / lengths, -1.0, 1.0) if lengths > 0 else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < MIN_SINE:
        return linear(start, stop, steps=steps)
    fraction = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    path = np.sin((1.0 - fraction) * angle) * start + np.sin(fraction * angle) * stop
    return path / np.sin(angle)


def direction(latents_with: np.ndarray, latents_without: np.ndarray) -> np.ndarray:
    """The mean of one group of latents [N, D] minus that of another: float64 [D].

    Raises:
      InputError: an empty group.
    """
    if not (len(latents_with) and len(latents_without)):
        raise InputError("no images with, or none without: expected at least one of each")
    return latents_with.mean(axis=0, dtype=float) - latents_without.mean(axis=0, dtype=float)
