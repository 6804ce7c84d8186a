"""What one page shows: a latent, where it comes from, and what is made of it. No browser in it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfp_vae.errors import InputError
from tfp_vae.explorer.collection import EncodedCollection
from tfp_vae.inference.batches import checked_image, floats
from tfp_vae.inference.model import InferenceModel
from tfp_vae.latent_space import mixture as mixtures
from tfp_vae.latent_space import paths

PATH_STEPS = 12  # images of a path, both ends included


class Chosen(NamedTuple):
    """An image that was chosen: one of the collection, or another one that was read."""

    name: str
    image: np.ndarray  # [H, W, C]
    latent: np.ndarray  # [D]: the mean of q(z|x), or the code
    row: int | None = None  # in the collection
    label: str | None = None


class State:
    """A latent of a model, and what the page does to it.

    `latent` is `start` + `strength` * `direction`. Of codes it is `start`.

    Args:
      model: what decodes.
      collection: images to choose from; None where there are none.
    """

    def __init__(self, model: InferenceModel, collection: EncodedCollection | None = None) -> None:
        self.model = model
        self.collection = collection
        self.seed = 0  # of the last draw of any kind
        self.noisy = False  # a draw from p(x|z), or its mean
        self.strength = 0.0
        self.direction: np.ndarray | None = None  # [D]
        self.chosen: list[Chosen] = []  # the last two images: the ends of the path
        self.start = np.zeros(model.latent_size, model.description.latent_dtype)
        if collection is not None:
            self.choose(len(collection.names) - 1)
            self.choose(0)
        elif model.description.has_density:
            self.sample_prior()

    @property
    def latent(self) -> np.ndarray:
        """The current latent, [D]."""
        if self.direction is None:
            return self.start
        return (self.start + self.strength * self.direction).astype(np.float32)

    def set_latent(self, latent: np.ndarray) -> None:
        """Starts from another latent [D], without the direction."""
        self.start, self.strength = np.array(latent), 0.0

    def set_coordinate(self, index: int, value: float) -> None:
        """Moves the latent so that its coordinate `index` is `value`: a number, or a code."""
        (changed,) = self.model.checked_latents(_with(self.latent, index, value)[np.newaxis])
        moved = 0.0 if self.direction is None else self.strength * self.direction[index]
        self.start = _with(self.start, index, changed[index] - moved)

    def choose(self, row: int) -> None:
        """Chooses an image of the collection by its row.

        Raises:
          InputError: no such row.
        """
        assert self.collection is not None
        found = self.collection
        if not 0 <= row < len(found.names):
            raise InputError(f"image {row}: expected 0..{len(found.names) - 1}")
        label = None if found.labels is None else found.labels[row]
        self._choose(Chosen(found.names[row], found.image(row), found.latents[row], row, label))

    def choose_image(self, name: str, image: np.ndarray) -> None:
        """Chooses an image [H, W, C] that is not of the collection."""
        pixels = floats(checked_image(image, self.model.image_shape)).numpy()
        self._choose(Chosen(name, pixels[0], self.model.encode(pixels)[0]))

    def _choose(self, chosen: Chosen) -> None:
        self.chosen = [*self.chosen[-1:], chosen]
        self.back()

    def back(self) -> None:
        """Back to the latent of the last image that was chosen."""
        if self.chosen:
            self.set_latent(self.chosen[-1].latent)

    def sample_prior(self) -> None:
        """A draw from p(z)."""
        self.seed += 1
        self.set_latent(self.model.prior_sample(1, seed=self.seed).latent[0])

    def sample_mixture(self) -> None:
        """A draw from the mixture that is fitted to the latents of the collection."""
        assert self.collection is not None
        self.seed += 1
        self.set_latent(mixtures.sample(self.collection.mixture, 1, seed=self.seed)[0])

    def picture(self) -> np.ndarray:
        """The mean of p(x|z) at the latent, or a draw: [H, W, C]."""
        latents = self.latent[np.newaxis]
        if self.noisy:
            return self.model.sample_image(latents, seed=self.seed)[0]
        return self.model.decode(latents)[0]

    def path(self, *, spherical: bool = False, steps: int = PATH_STEPS) -> np.ndarray:
        """Latents from the last image but one to the last that were chosen: [steps, D].

        Raises:
          InputError: fewer than two, or codes.
        """
        self.model.require_vectors("a path")
        if len(self.chosen) < 2:
            raise InputError("a path: one image: expected two")
        first, last = (chosen.latent for chosen in self.chosen)
        along = paths.spherical if spherical else paths.linear
        return along(first, last, steps=steps)

    def set_strength(self, strength: float) -> None:
        """How far along the direction the latent is from its start.

        Raises:
          InputError: no finite number.
        """
        if not np.isfinite(strength):
            raise InputError(f"strength {strength}: expected a number")
        self.strength = float(strength)

    def set_groups(self, without: Sequence[int], having: Sequence[int]) -> None:
        """The direction from the mean latent of one group of rows to that of another.

        Raises:
          InputError: an empty group, or codes.
        """
        assert self.collection is not None
        self.model.require_vectors("a direction")
        latents = self.collection.latents
        direction = paths.direction(latents[list(having)], latents[list(without)])
        self.start, self.strength, self.direction = self.latent, 0.0, direction


def _with(latent: np.ndarray, index: int, value: float) -> np.ndarray:
    """A copy of a latent [D] with another coordinate."""
    if not 0 <= index < len(latent):
        raise InputError(f"latent {index}: expected 0..{len(latent) - 1}")
    if not np.isfinite(value):
        raise InputError(f"latent {index}: {value}: expected a number")
    changed = np.array(latent)
    changed[index] = value
    return changed
