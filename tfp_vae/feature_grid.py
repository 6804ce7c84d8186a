"""A picture of what each unit of a code adds to an image, as a Keras callback."""

import os
from typing import Any

import numpy as np

from tfp_vae.callbacks import Picture
from tfp_vae.images.grids import grid


class FeatureGrid(Picture):
    """The decoder's response to each unit of the code: its features, one for each latent.

    A feature is the mean of p(x|z) where one unit is 1 and the others are 0, minus that of the code
    0. Grey is no change, white the largest change of any feature, black its opposite.

    Args:
      limit: features drawn at most, the first ones.
    """

    def __init__(self, directory: str | os.PathLike[str], limit: int = 400, **kwargs: Any) -> None:
        super().__init__(directory, **kwargs)
        self.limit = limit

    def draw(self) -> np.ndarray:
        features = self.features()
        largest = float(np.abs(features).max()) or 1.0
        return grid(0.5 + 0.5 * features / largest, columns=round(len(features) ** 0.5))

    def features(self) -> np.ndarray:
        """The features of the first `limit` units: [N, H, W, C], in the unit of a pixel."""
        size = self.model.prior_layer.latent_size
        units = np.eye(min(size, self.limit), size, dtype=np.float32)
        return self.decode(units) - self.decode(np.zeros([1, size], np.float32))
