"""The aggregate posterior q(z): the even mixture of the Normals q(z|x) of N images."""

import math

import numpy as np

from tfp_vae.inference.batches import progress_bar
from tfp_vae.objectives import LOG_2_PI

BLOCK = 1000  # draws, and components, compared at once: bounds the memory


def is_diagonal(scale_trils: np.ndarray) -> bool:
    """Whether the covariances of `scale_trils` [N, D, D] are all diagonal."""
    below = np.tril_indices(scale_trils.shape[1], -1)
    return not any(scale_trils[:, row, column].any() for row, column in zip(*below, strict=True))


def log_aggregate_posterior(
    latents: np.ndarray, means: np.ndarray, scale_trils: np.ndarray
) -> np.ndarray:
    """The log q(z) of M latents under the even mixture of N Normals.

    The square in each density, (z - m)' P (z - m), is expanded into z' P z - 2 z' P m + m' P m. For
    a block of latents and a block of Normals that is one matrix product: [z_i z_j, z] times
    [P_ij, -2 P m]. In float64, since the terms are much larger than their sum.

    Args:
      latents: [M, D].
      means: [N, D].
      scale_trils: [N, D, D], factors of the covariances.

    Returns:
      float64 [M], nats.
    """
    count, size = means.shape
    diagonal = is_diagonal(scale_trils)
    rows, columns = np.diag_indices(size) if diagonal else np.triu_indices(size)
    twice = np.where(rows == columns, 1.0, 2.0)  # an off-diagonal pair stands for two products
    totals = np.full(len(latents), -np.inf)
    with progress_bar(len(latents) * count, "log q(z)") as bar:
        for first in range(0, count, BLOCK):
            block = slice(first, first + BLOCK)
            inverses = np.linalg.inv(np.float64(scale_trils[block]))
            precisions = np.swapaxes(inverses, 1, 2) @ inverses  # [B, D, D]
            linear = np.einsum("nij,nj->ni", precisions, means[block])
            weights = np.hstack([twice * precisions[:, rows, columns], -2.0 * linear])
            constants = (linear * means[block]).sum(axis=1) + size * LOG_2_PI
            constants += 2.0 * log_determinants(scale_trils[block])
            for start in range(0, len(latents), BLOCK):
                z = latents[start : start + BLOCK]
                densities = np.hstack([z[:, rows] * z[:, columns], z]) @ weights.T
                densities += constants
                densities *= -0.5  # [block of latents, block of Normals]
                total = totals[start : start + BLOCK]
                np.logaddexp(total, _log_sum_exp(densities), out=total)
                bar.update(densities.size)
    return totals - math.log(count)


def log_determinants(scale_trils: np.ndarray) -> np.ndarray:
    """The log of the determinant of each of `scale_trils` [N, D, D]: float64 [N]."""
    return np.log(np.diagonal(scale_trils, axis1=1, axis2=2), dtype=np.float64).sum(axis=1)


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """Over the last axis of a matrix, which it overwrites."""
    largest = values.max(axis=1)
    values -= largest[:, np.newaxis]
    return largest + np.log(np.exp(values, out=values).sum(axis=1))
