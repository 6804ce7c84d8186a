"""What the convolutional networks share: an image to its smallest feature map, and back."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.networks import pyramid
from tfp_vae.networks.map_hierarchy import MapHierarchy

tfkl = tf_keras.layers


class OnMaps:
    """A network whose smallest feature map is what latents are joined to.

    Subclasses define `features`, `parameters` and `entry`.

    Attributes:
      maps: convolutions in a residual block of a hierarchy.
      entry: activation and initial kernel of the layer that makes the decoder's first feature map.
    """

    activation: str
    filters: tuple[int, ...]
    maps: int
    # After 4 epochs of resnet CIFAR-10 has 1,852 nats without it and 1,831 with it, 64x64 faces
    # 4,078 and 4,307. Longer runs have not been compared.
    linear_path = False

    @property
    def entry(self) -> dict[str, Any]:
        raise TypeError(f"{type(self).__name__} does not define entry")

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """The smallest feature map [B, h, w, F] of images [B, H, W, C]."""
        raise TypeError(f"{type(self).__name__} does not define features()")

    def parameters(self, x: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) from a feature map of `smallest`, as `Network.decode`."""
        raise TypeError(f"{type(self).__name__} does not define parameters()")

    def levels(self, height: int, width: int) -> tuple[int, ...]:
        """Filters of each level."""
        return self.filters or pyramid.default_filters(height, width)

    def smallest(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape of the smallest feature map: (rows, columns, filters)."""
        levels = self.levels(height, width)
        return (*pyramid.smallest(height, width, len(levels)), levels[-1])

    def encode(self, images: tf.Tensor) -> tf.Tensor:
        """Features [B, F] of images [B, H, W, C]."""
        return tfkl.Flatten()(self.features(images))

    def start_image(self, mean: np.ndarray) -> np.ndarray:
        """The mean of each channel at every position, as `Network.start_image`."""
        return np.broadcast_to(mean.mean(axis=(0, 1)), mean.shape)

    def decode(self, latents: tf.Tensor, start: np.ndarray, spread: float = 1.0) -> tf.Tensor:
        """Parameters of p(x|z) at latents [B, D], as `Network.decode`."""
        rows, columns, filters = self.smallest(*start.shape[1:3])
        x = tfkl.Dense(rows * columns * filters, **self.entry)(latents)
        x = tfkl.Reshape((rows, columns, filters))(x)
        return self.parameters(x, start, spread)

    def hierarchy(
        self,
        image_shape: tuple[int, ...],
        groups: tuple[int, ...],
        group_channels: tuple[int, ...],
    ) -> MapHierarchy:
        """The paths of a hierarchy of feature maps, as `MapHierarchy` takes its arguments."""
        return MapHierarchy(
            self.activation, self.filters, self.maps, image_shape, groups, group_channels
        )
