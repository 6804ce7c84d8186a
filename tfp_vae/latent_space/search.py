"""Search by encoding: the images of a collection whose latents are nearest to a query's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from tfp_vae.errors import InputError
from tfp_vae.latent_space import array_files

Metric = Literal["euclidean", "symmetric_kl"]

# The arrays in a file; N images, D latents.
EUCLIDEAN_AXES = {"means": "ND", "names": "N"}
SYMMETRIC_KL_AXES = {**EUCLIDEAN_AXES, "scale_trils": "NDD"}
AXES = {**SYMMETRIC_KL_AXES, "labels": "N"}
OPTIONAL = ("scale_trils", "labels")  # an index of version 0.1.0 has no labels
QUERY_BATCH = 64  # queries compared with the whole collection at once


class NormalPosterior(Protocol):
    """The part of an inference `Posterior` that an index needs."""

    @property
    def mean(self) -> np.ndarray:
        """[N, D]."""

    @property
    def scale_tril(self) -> np.ndarray | None:
        """Factors of the covariances [N, D, D], or None where q(z|x) is not Normal."""


class Neighbors(NamedTuple):
    """The nearest items of Q queries, nearest first."""

    distance: np.ndarray  # [Q, count]
    item: np.ndarray  # [Q, count], indices into the collection


def symmetric_kl(
    means: ArrayLike,
    scale_trils: ArrayLike,
    other_means: ArrayLike,
    other_scale_trils: ArrayLike,
) -> np.ndarray:
    """KL(p || q) + KL(q || p) between each of Q Normals p and each of N Normals q.

    Jeffreys' divergence: with covariances S and T and the difference d of the means,
    1/2 [ tr(T^-1 S) + tr(S^-1 T) - 2 D + d' (S^-1 + T^-1) d ].

    Args:
      means: of p, [Q, D].
      scale_trils: [Q, D, D], with S = scale_tril scale_tril'.
      other_means: of q, [N, D].
      other_scale_trils: [N, D, D].

    Returns:
      float64 [Q, N], nats.
    """
    means, other_means = np.asarray(means, np.float64), np.asarray(other_means, np.float64)
    inverses, covariances, precisions = _factors(scale_trils)
    other_inverses, other_covariances, other_precisions = _factors(other_scale_trils)
    traces = covariances @ other_precisions.T + precisions @ other_covariances.T  # [Q, N]
    squares = np.empty_like(traces)
    for query, (mean, inverse) in enumerate(zip(means, inverses, strict=True)):
        difference = other_means - mean
        squares[query] = ((difference @ inverse.T) ** 2).sum(axis=1)
        squares[query] += (np.einsum("nij,nj->ni", other_inverses, difference) ** 2).sum(axis=1)
    return np.maximum(0.5 * (traces + squares) - other_means.shape[1], 0.0)


def _factors(scale_trils: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inverses [N, D, D]; covariances and precisions, each matrix as one row [N, D * D]."""
    scale_trils = np.asarray(scale_trils, np.float64)
    inverses = np.linalg.inv(scale_trils)
    covariances = scale_trils @ np.swapaxes(scale_trils, 1, 2)
    precisions = np.swapaxes(inverses, 1, 2) @ inverses
    size = scale_trils.shape[1] ** 2
    return inverses, covariances.reshape(-1, size), precisions.reshape(-1, size)


class Index:
    """The latents of a collection of N images, to be searched.

    Args:
      means: means of q(z|x), [N, D].
      names: a text for each image, [N].
      scale_trils: of Normal posteriors, factors of the covariances of q(z|x), [N, D, D]. With
        them, the distance is the symmetric KL between posteriors; without them, the Euclidean
        distance between means.
      labels: of the images, [N], where they have any.

    Raises:
      ValueError: no image, numbers of means, names and labels that differ, or a scale_tril that
        is singular and therefore has no density and no KL.
    """

    def __init__(
        self,
        means: ArrayLike,
        *,
        names: Sequence[str] | np.ndarray,
        scale_trils: np.ndarray | None = None,
        labels: Sequence[str] | np.ndarray | None = None,
    ) -> None:
        self.means = np.asarray(means)
        self.names = np.asarray(names, str)
        self.labels = None if labels is None else np.asarray(labels, str)
        self.scale_trils = scale_trils
        count = len(self.means)
        if not count or len(self.names) != count:
            raise ValueError(f"{count} means, {len(self.names)} names: expected equal, at least 1")
        if self.labels is not None and len(self.labels) != count:
            raise ValueError(f"{count} means, {len(self.labels)} labels: expected equal")
        if scale_trils is not None and not np.diagonal(scale_trils, axis1=1, axis2=2).all():
            raise ValueError("scale_trils with a zero on the diagonal: no density, so no KL")
        self._nearest = NearestNeighbors().fit(self.means) if scale_trils is None else None

    @classmethod
    def of(
        cls,
        posterior: NormalPosterior,
        *,
        names: Sequence[str],
        metric: Metric = "euclidean",
        labels: Sequence[str] | None = None,
    ) -> Self:
        """The index of images whose posteriors an `InferenceModel` returned.

        Args:
          posterior: of N images.
          names: a text for each image, [N].
          metric: "euclidean", or "symmetric_kl", for Normal posteriors.
          labels: of the images, [N], where they have any.

        Raises:
          InputError: "symmetric_kl" and a posterior that is not Normal.
        """
        if metric == "euclidean":
            return cls(posterior.mean, names=names, labels=labels)
        if posterior.scale_tril is None:
            raise InputError(f"metric {metric}: only for Normal posteriors: expected euclidean")
        scale_trils = posterior.scale_tril
        return cls(posterior.mean, names=names, scale_trils=scale_trils, labels=labels)

    def query(
        self, means: ArrayLike, *, count: int, scale_trils: np.ndarray | None = None
    ) -> Neighbors:
        """The nearest items of each query.

        Args:
          means: means of q(z|x) of the queries, [Q, D].
          count: items for each query, at least 1; all items, if there are fewer.
          scale_trils: [Q, D, D]; needed if the index has them, else ignored.

        Raises:
          InputError: queries of another width than the index.
          ValueError: the index has scale_trils, and the queries have none.
        """
        count = min(count, len(self.means))
        means = np.asarray(means)
        if means.ndim != 2 or means.shape[1] != self.means.shape[1]:
            size = self.means.shape[1]
            raise InputError(f"queries of shape {means.shape}: expected (Q, {size}), as the index")
        if self._nearest is not None:
            return Neighbors(*self._nearest.kneighbors(means, count))
        if scale_trils is None or self.scale_trils is None:
            raise ValueError("no scale_trils: expected those of the queries for the symmetric KL")
        distances, items = [np.empty([0, count])], [np.empty([0, count], int)]
        for start in range(0, len(means), QUERY_BATCH):
            rows = slice(start, start + QUERY_BATCH)
            divergences = symmetric_kl(means[rows], scale_trils[rows], self.means, self.scale_trils)
            nearest = np.argsort(divergences, axis=1, kind="stable")[:, :count]
            distances.append(np.take_along_axis(divergences, nearest, axis=1))
            items.append(nearest)
        return Neighbors(np.concatenate(distances), np.concatenate(items))

    def save(self, path: str | Path, *, fingerprint: str) -> None:
        """Writes the index to a `.npz`.

        Args:
          path: the file.
          fingerprint: `InferenceModel.fingerprint` of the model that encoded the images.
        """
        arrays = {name: getattr(self, name) for name in AXES}
        given = {name: array for name, array in arrays.items() if array is not None}
        array_files.write(path, given, fingerprint=fingerprint)

    @classmethod
    def load(cls, path: str | Path, *, fingerprint: str) -> Self:
        """The index in a file that `save` wrote, for the model with that fingerprint.

        Raises:
          InputError: a damaged or another kind of file, or an index of another model.
        """
        arrays = array_files.read(path, AXES, fingerprint=fingerprint, optional=OPTIONAL)
        try:
            return cls(arrays.pop("means"), **arrays)
        except ValueError as error:
            raise InputError(f"{path}: damaged: {error}") from error
