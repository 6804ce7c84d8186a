"""A collection of images in a model's latent space: where each is, and what the latents hold."""

import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA

from tfp_vae.images.sources import Collection
from tfp_vae.inference.batches import BATCH, floats
from tfp_vae.inference.model import InferenceModel
from tfp_vae.inference.results import kl_of_each_latent
from tfp_vae.latent_space import mixture as mixtures
from tfp_vae.latent_space.search import Index
from tfp_vae.progress import progress_bar

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

MAX_MIXTURE_LATENTS = 256  # a covariance of more takes minutes to fit
MAX_COMPONENTS = 10  # of the mixture; fewer where there are fewer than ten images for each


class EncodedCollection:
    """N images and their latents.

    Args:
      model: what encodes them.
      found: the images, at least one.

    Attributes:
      names, labels: of the images, [N]; `labels` may be None.
      latents: means of q(z|x), float32 [N, D], or codes, int32 [N, D].
      points: where the images are on the map, [N, 2].
      plane: how `points` were made, in words.
      weights: how much each latent tells of an image, [D]; None of codes.
      weight: what `weights` are: "KL, nats", or "standard deviation" of the means.
    """

    def __init__(self, model: InferenceModel, found: Collection) -> None:
        self.model = model
        self.pixels, self.names, self.labels = found.pixels, found.names, found.labels
        self.weights: np.ndarray | None = None
        self.weight = ""
        if model.description.has_codes:
            self.latents = model.encode(self.pixels)
        else:
            self.latents, stddev = _moments(model, self.pixels)
            self._weigh(self.latents.astype(float), stddev.astype(float))
        vectors = model.vectors(self.latents)
        self._plane = PCA(2, random_state=0).fit(vectors) if self._needs_a_plane(vectors) else None
        self.points = self.project(self.latents)
        self.plane = "the latents"
        if self._plane is not None:
            share = float(self._plane.explained_variance_ratio_.sum())
            what = "the vectors of codes" if model.description.has_codes else "latents"
            self.plane = f"principal components of {what}, {share:.0%} of their variance"

    @staticmethod
    def _needs_a_plane(vectors: np.ndarray) -> bool:
        return vectors.shape[1] > 2 and bool(np.any(vectors != vectors[:1]))

    def _weigh(self, mean: np.ndarray, stddev: np.ndarray) -> None:
        """KL of N(mean, stddev^2) from N(0, 1) where that is the KL of one latent, else a spread.

        In a hierarchy it is the KL in units of the prior given the levels above, at their means.
        """
        described = self.model.description
        normal = described.posterior_is_normal or any(described.latent_levels)
        if described.has_density and described.prior_is_standard_normal and normal:
            self.weights, self.weight = kl_of_each_latent(mean, stddev).mean(axis=0), "KL, nats"
        else:
            self.weights, self.weight = mean.std(axis=0), "standard deviation"

    def project(self, latents: np.ndarray) -> np.ndarray:
        """The points of latents [n, D] on the map: [n, 2]."""
        vectors = self.model.vectors(latents)
        if self._plane is not None:
            return self._plane.transform(vectors)
        return np.pad(vectors, [(0, 0), (0, max(0, 2 - vectors.shape[1]))])[:, :2]

    def image(self, row: int) -> np.ndarray:
        """One image, float32 [H, W, C] in [0, 1]."""
        return floats(self.pixels[row : row + 1]).numpy()[0]

    def rows_of(self, label: str) -> np.ndarray:
        """The rows of the images with a label."""
        return np.flatnonzero(np.asarray(self.labels) == label)

    def nearest(self, latent: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the images nearest to a latent [D], nearest first, and their distances."""
        found = self._index.query(self.model.vectors(latent[np.newaxis]), count=count)
        return found.item[0], found.distance[0]

    @functools.cached_property
    def _index(self) -> Index:
        return Index(self.model.vectors(self.latents), names=self.names)

    @property
    def has_mixture(self) -> bool:
        """Whether a mixture can be fitted to the latents: not to codes, nor to very many."""
        return not self.model.description.has_codes and self.latents.shape[1] <= MAX_MIXTURE_LATENTS

    @functools.cached_property
    def mixture(self) -> "GaussianMixture":
        """A Gaussian mixture fitted to the latents, at first use."""
        different = len(np.unique(self.latents, axis=0))
        components = min(MAX_COMPONENTS, different, max(1, len(self.latents) // 10))
        return mixtures.fit(self.latents, components=components)


def _moments(model: InferenceModel, pixels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of q(z|x), float32 [N, D], without N covariances in memory."""
    mean = np.empty([pixels.shape[0], model.latent_size], np.float32)
    stddev = np.empty_like(mean)
    with progress_bar(len(mean), "encode") as bar:
        for start in range(0, len(mean), BATCH):
            rows = slice(start, start + BATCH)
            mean[rows], stddev[rows], _ = model.posterior(floats(pixels[rows]))
            bar.update(len(mean[rows]))
    return mean, stddev


def levels(numbers: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The latents of each level of a hierarchy by its name, the top first; of one level none."""
    top = max(numbers, default=0)
    notes = {1: ", next to the image", top: ", the top"}
    return {
        f"level {level}{notes.get(level, '')}": np.flatnonzero(np.equal(numbers, level))
        for level in range(top, 0, -1)
    }


def informative_first(weights: np.ndarray | None, which: np.ndarray) -> np.ndarray:
    """The latents `which`, those with the largest weights first."""
    return which if weights is None else which[np.argsort(-weights[which], kind="stable")]


def different(labels: list[str]) -> list[str]:
    """The different labels, in the order of numbers where they are numbers."""
    known = set(labels)
    numbers = all(re.fullmatch(r"-?\d+", label) for label in known)
    return sorted(known, key=int if numbers else None)
