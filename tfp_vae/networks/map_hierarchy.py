"""A hierarchy whose levels are groups of channels on feature maps, on convolutions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.networks import pyramid
from tfp_vae.networks.activations import ACTIVATIONS
from tfp_vae.networks.base import last_kernel
from tfp_vae.networks.blocks import Residual, affine, build
from tfp_vae.networks.top_down import TopDown

tfkl = tf_keras.layers

MORE_FILTERS = 16  # at each halving
TOP_GROUPS, TOP_CHANNELS, CHANNELS = 4, 4, 2  # by default


@tf_keras.saving.register_keras_serializable("tfp_vae")
class MapTopDown(TopDown):
    """Groups of latents on feature maps whose sides double on the way to the image.

    After the last level the state is doubled once more, to the size of the image, with half as many
    channels; a residual block there precedes the parameters of p(x|z).

    Args:
      image_shape: (H, W, P C), P being the number of parameters of a pixel of p(x|z).
      parameters_per_pixel: P.
      spread: as `Network.decode` takes it.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        parameters_per_pixel: int,
        spread: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_shape, self.spread = tuple(image_shape), spread
        self.parameters_per_pixel = parameters_per_pixel
        kernel = ACTIVATIONS[self.activation]["kernel_initializer"]
        sides = [shape[:2] for shape in self.level_shapes]
        self.feature_shapes, self.feature_of, self.doublings = [], [], []
        for index, width in enumerate(self.widths):
            if not index or sides[index] != sides[index - 1]:
                self.feature_shapes.append((*sides[index], width))
                if index:
                    self.doublings.append(self._doubled(width, kernel_initializer=kernel))
            self.feature_of.append(len(self.feature_shapes) - 1)
        self.out_width = max(self.widths[-1] // 2, 1)
        policy = self.dtype_policy
        self.out = self._doubled(self.out_width, kernel_initializer=kernel)
        self.out_block = Residual(
            3, self.out_width, self.activation, self.maps, name="out_block", dtype=policy
        )
        start = last_kernel(spread)
        self.last = affine(3, self.image_shape[-1], kernel_initializer=start, dtype=policy)

    def _doubled(self, width: int, **options: Any) -> tf_keras.layers.Layer:
        options = {"strides": 2, "padding": "same", "dtype": self.dtype_policy, **options}
        return tfkl.Conv2DTranspose(width, pyramid.KERNEL, **options)

    def _doubles_before(self, index: int) -> bool:
        return bool(index) and self.feature_of[index] != self.feature_of[index - 1]

    def build_entry(self, index: int) -> None:
        if self._doubles_before(index):
            resolution = self.feature_of[index]
            build(self.doublings[resolution - 1], *self.feature_shapes[resolution - 1])

    def build_last(self, *shape: int) -> None:
        of_image = (*self.image_shape[:2], self.out_width)
        build(self.out, *shape)
        build(self.out_block, *of_image)
        build(self.last, *of_image)

    def enter(self, index: int, state: tf.Tensor) -> tf.Tensor:
        if not self._doubles_before(index):
            return state
        resolution = self.feature_of[index]
        rows, columns, _ = self.feature_shapes[resolution]
        return self.doublings[resolution - 1](self._act(state))[:, :rows, :columns]

    def parameters(self, state: tf.Tensor) -> tf.Tensor:
        height, width, _ = self.image_shape
        x = self.out(self._act(state))[:, :height, :width]
        x = self.last(self._act(self.out_block(x)))
        return pyramid.by_parameter(x, self.parameters_per_pixel)

    def set_start(self, start: np.ndarray) -> None:
        self.last.bias.assign(start[:, 0, 0].ravel())

    def get_config(self) -> dict[str, Any]:
        names = ("image_shape", "parameters_per_pixel", "spread")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class MapHierarchy:
    """The two paths of a hierarchy of feature maps.

    Args:
      activation: a name in `ACTIVATIONS`.
      filters: at each resolution of the feature maps, from the image's half down; () is 32 (16 for
        images of more than 32 pixels) and 16 more at each halving.
      maps: affine maps in a residual block.
      image_shape: (H, W, C).
      groups: levels at each resolution, the top one first; () is 4, 3, 2, 1, 1, ...
      group_channels: channels of a group at each resolution; () is 4 at the top, 2 below it.

    Raises:
      InputError: more filters than the image can be halved, or numbers for more or fewer
        resolutions than there are.
    """

    def __init__(
        self,
        activation: str,
        filters: tuple[int, ...],
        maps: int,
        image_shape: tuple[int, ...],
        groups: tuple[int, ...],
        group_channels: tuple[int, ...],
    ) -> None:
        height, width, _ = image_shape
        if not filters:
            first, *rest = pyramid.default_filters(height, width)
            filters = (first, *(first + MORE_FILTERS * (i + 1) for i in range(len(rest))))
        count, most = len(filters), max((max(height, width) - 1).bit_length(), 1)
        if count > most:
            raise InputError(
                f"filters {' '.join(map(str, filters))}: expected {most} or fewer numbers, "
                f"as often as {height}x{width} pixels can be halved"
            )
        groups = groups or tuple(max(TOP_GROUPS - index, 1) for index in range(count))
        group_channels = group_channels or (TOP_CHANNELS, *[CHANNELS] * (count - 1))
        for name, given in (("groups", groups), ("group_channels", group_channels)):
            if len(given) != count:
                sides = ", ".join(
                    "x".join(map(str, pyramid.smallest(height, width, level)))
                    for level in range(count, 0, -1)
                )
                raise InputError(
                    f"{name} {' '.join(map(str, given))}: expected {count} numbers, "
                    f"one for each resolution: {sides}"
                )
        self.activation, self.filters, self.maps = activation, filters, maps
        self.image_shape, self.groups, self.group_channels = image_shape, groups, group_channels

    def features(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Feature maps of images at each resolution, the top one first."""
        kernel = ACTIVATIONS[self.activation]["kernel_initializer"]
        options = {"strides": 2, "padding": "same", "kernel_initializer": kernel}
        x = images
        found: list[tf.Tensor] = []
        for filters in self.filters:
            if found:
                x = tfkl.Activation(self.activation)(x)
            x = tfkl.Conv2D(filters, pyramid.KERNEL, **options)(x)
            x = Residual(3, filters, self.activation, self.maps)(x)
            found.append(x)
        return found[::-1]

    def top_down(self, start_shape: tuple[int, ...], spread: float) -> TopDown:
        """The generative path, for parameters of p(x|z) of shape [P, H, W, C]."""
        parameters, height, width, channels = start_shape
        shapes, widths = [], []
        for index, (groups, depth) in enumerate(zip(self.groups, self.group_channels, strict=True)):
            level = len(self.filters) - index
            sides = pyramid.smallest(height, width, level)
            shapes += [(*sides, depth)] * groups
            widths += [self.filters[level - 1]] * groups
        return MapTopDown(
            (height, width, parameters * channels),
            parameters,
            spread,
            level_shapes=shapes,
            widths=widths,
            activation=self.activation,
            maps=self.maps,
            name="top_down",
        )
