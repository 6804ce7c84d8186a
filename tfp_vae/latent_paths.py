"""Paths between latents, in NumPy."""

import numpy as np

PARALLEL = 1e-6  # sine of an angle below which a great circle is not defined well


def linear(start, stop, *, steps):
    """Evenly spaced latents on the straight line from `start` [D] to `stop`: [steps, D]."""
    share = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    return (1.0 - share) * start + share * stop


def spherical(start, stop, *, steps):
    """Latents on the arc from `start` [D] to `stop` at evenly spaced angles: [steps, D].

    Shoemake (1985); White, "Sampling generative networks" (2016), has it for latents: high-
    dimensional normal draws have nearly one length, which a straight line would leave. Vectors
    that are parallel, opposite or zero have no such arc; theirs is the straight line.
    """
    start, stop = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    lengths = np.linalg.norm(start) * np.linalg.norm(stop)
    cosine = np.clip(start @ stop / lengths, -1.0, 1.0) if lengths > 0 else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < PARALLEL:
        return linear(start, stop, steps=steps)
    share = np.linspace(0.0, 1.0, steps)[:, np.newaxis]
    return (np.sin((1.0 - share) * angle) * start + np.sin(share * angle) * stop) / np.sin(angle)
