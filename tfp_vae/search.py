"""Search by encoding: the images of a collection whose latents lie nearest to a query's."""

from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tfp_vae import array_files

EUCLIDEAN_AXES = {"means": "ND", "names": "N"}
SYMMETRIC_KL_AXES = {**EUCLIDEAN_AXES, "scale_trils": "NDD"}
QUERIES = 64  # compared with the whole collection at once


class Neighbors(NamedTuple):
    """The nearest items of Q queries, nearest first."""

    distance: np.ndarray  # [Q, count]
    item: np.ndarray  # [Q, count], places in the collection


def symmetric_kl(means, scale_trils, other_means, other_scale_trils):
    """KL(p || q) + KL(q || p) between each of Q normals p and each of N normals q.

    Jeffreys' divergence: with covariances S and T and the difference d of the means,
    1/2 [ tr(T^-1 S) + tr(S^-1 T) - 2 D + d' (S^-1 + T^-1) d ].

    Args:
      means: of p, [Q, D].
      scale_trils: [Q, D, D], S = scale_tril scale_tril'.
      other_means: of q, [N, D].
      other_scale_trils: [N, D, D].

    Returns:
      float64 [Q, N], nats.
    """
    inverses, covariances, precisions = _factors(scale_trils)
    other_inverses, other_covariances, other_precisions = _factors(other_scale_trils)
    traces = covariances @ other_precisions.T + precisions @ other_covariances.T  # [Q, N]
    squares = np.empty_like(traces)
    for query, (mean, inverse) in enumerate(zip(means, inverses, strict=True)):
        difference = np.float64(other_means) - mean
        squares[query] = ((difference @ inverse.T) ** 2).sum(axis=1)
        squares[query] += (np.einsum("nij,nj->ni", other_inverses, difference) ** 2).sum(axis=1)
    return np.maximum(0.5 * (traces + squares) - other_means.shape[1], 0.0)


def _factors(scale_trils):
    """Inverses [N, D, D], and covariances and precisions as rows [N, D * D]."""
    scale_trils = np.float64(scale_trils)
    inverses = np.linalg.inv(scale_trils)
    covariances = scale_trils @ np.swapaxes(scale_trils, 1, 2)
    precisions = np.swapaxes(inverses, 1, 2) @ inverses
    size = scale_trils.shape[1] ** 2
    return inverses, covariances.reshape(-1, size), precisions.reshape(-1, size)


class Index:
    """The latents of a collection, to be searched.

    Args:
      means: means of q(z|x) of its images, [N, D].
      names: a text for each image, [N].
      scale_trils: factors of the covariances of q(z|x), [N, D, D]; with them the distance is the
        symmetric KL between posteriors, without them the Euclidean one between means.

    Raises:
      ValueError: no image, lengths that differ, or a deterministic posterior, which has no KL.
    """

    def __init__(self, means, *, names, scale_trils=None):
        self.means = np.asarray(means)
        self.names = np.asarray(names, str)
        self.scale_trils = scale_trils
        count = len(self.means)
        if not count or len(self.names) != count:
            raise ValueError(f"{count} means, {len(self.names)} names: expected equal, at least 1")
        if scale_trils is not None and not np.diagonal(scale_trils, axis1=1, axis2=2).all():
            raise ValueError("the posterior is deterministic: it has no density, so no KL")
        self._nearest = NearestNeighbors().fit(self.means) if scale_trils is None else None

    def query(self, means, *, count, scale_trils=None):
        """The `count` nearest items (all, if there are fewer) of each query, as `Neighbors`.

        Args:
          means: means of q(z|x) of the queries, [Q, D].
          count: at least 1.
          scale_trils: as those of the index: [Q, D, D] if it has them.
        """
        count = min(count, len(self.means))
        if self._nearest is not None:
            return Neighbors(*self._nearest.kneighbors(means, count))
        nearest = [np.empty([0, count])], [np.empty([0, count], int)]
        for start in range(0, len(means), QUERIES):
            rows = slice(start, start + QUERIES)
            of_queries = means[rows], scale_trils[rows]
            distances = symmetric_kl(*of_queries, self.means, self.scale_trils)
            items = np.argsort(distances, axis=1, kind="stable")[:, :count]
            nearest[0].append(np.take_along_axis(distances, items, axis=1))
            nearest[1].append(items)
        return Neighbors(*map(np.concatenate, nearest))

    def save(self, path, *, fingerprint):
        """Writes the index to a `.npz`; `fingerprint` is that of the model of the latents."""
        axes = EUCLIDEAN_AXES if self.scale_trils is None else SYMMETRIC_KL_AXES
        arrays = {name: getattr(self, name) for name in axes}
        array_files.write(path, arrays, fingerprint=fingerprint)

    @classmethod
    def load(cls, path, *, fingerprint):
        """The index in a file of `save`, for the model with that fingerprint.

        Raises:
          InputError: another kind of file, or an index of another model.
        """
        only = {"fingerprint": fingerprint, "optional": ("scale_trils",)}
        return cls(**array_files.read(path, SYMMETRIC_KL_AXES, **only))


def label_share(vectors, labels, *, count=10):
    """How often an item's nearest neighbours have its label: the mean share over all items.

    Args:
      vectors: latents, pixels or components of the items, [N, ...]; the distance is Euclidean.
      labels: [N].
      count: neighbours of each item, itself not among them.

    Returns:
      A float in [0, 1].
    """
    vectors, labels = np.reshape(vectors, [len(vectors), -1]), np.asarray(labels)
    nearest = NearestNeighbors(n_neighbors=count).fit(vectors)
    items = nearest.kneighbors(return_distance=False)  # without queries: an item is not its own
    return float(np.mean(labels[items] == labels[:, np.newaxis]))
