"""A `HierarchicalVAE` from the parts that `build_vae` has chosen."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.layers import POSTERIORS
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.shared_scale import SharedScale
from tfp_vae.models import MAP_POSTERIOR
from tfp_vae.models.hierarchical import HierarchicalVAE
from tfp_vae.models.statistics import Statistics
from tfp_vae.networks.dense import Dense
from tfp_vae.networks.dense_hierarchy import DenseHierarchy
from tfp_vae.networks.map_hierarchy import MapHierarchy
from tfp_vae.priors.base import Prior

DEFAULT_SIZE = 16  # of a vector of latents, where none is given


def one_size(latent_size: int | Sequence[int]) -> int:
    """The number of latents of a model without a hierarchy.

    Raises:
      InputError: several numbers, or one below 1.
    """
    if not isinstance(latent_size, int | np.integer):
        raise InputError(
            f"latent_size {_written(latent_size)}: only for model hierarchical: expected one number"
        )
    if latent_size < 1:
        raise InputError(f"latent_size {latent_size}: expected an integer >= 1")
    return int(latent_size)


def level_sizes(latent_size: int | Sequence[int]) -> tuple[int, ...]:
    """The number of latents of each vector level, the top one first.

    Args:
      latent_size: from the image up: (32, 16) is 16 at the top. One number D is two levels, D and
        half as many above it.

    Raises:
      InputError: fewer than two levels, or a level without latents.
    """
    given = latent_size
    if isinstance(given, int | np.integer):
        given = (given, max(given // 2, 1))
    sizes = given if isinstance(given, tuple | list) else ()
    integers = all(isinstance(size, int | np.integer) for size in sizes)
    if len(sizes) < 2 or not integers or min(sizes) < 1:
        raise InputError(
            f"latent_size {_written(latent_size)}: expected a number >= 1 for each of 2 levels "
            "or more, from the image up"
        )
    return tuple(map(int, sizes))[::-1]


def hierarchy_of(
    trunk: Any,
    image_shape: tuple[int, ...],
    latent_size: int | Sequence[int],
    groups: tuple[int, ...],
    group_channels: tuple[int, ...],
) -> DenseHierarchy | MapHierarchy:
    """The two paths of a hierarchy: of vectors on the dense network, else of feature maps.

    Args:
      trunk: the network, as its registry makes it.
      image_shape: (H, W, C).
      latent_size: as `level_sizes` takes it; for vectors only.
      groups: as `MapHierarchy` takes them; for feature maps only.
      group_channels: likewise.

    Raises:
      InputError: an option of the other kind of levels, or dropout.
    """
    if trunk.dropout:
        raise InputError(f"dropout {trunk.dropout}: not for model hierarchical: expected 0")
    if isinstance(trunk, Dense):
        for name, given in (("groups", groups), ("group_channels", group_channels)):
            if given:
                raise InputError(f"{name} {_written(given)}: only for network conv, resnet")
        return trunk.hierarchy(level_sizes(latent_size))
    if latent_size != DEFAULT_SIZE:
        raise InputError(
            f"latent_size {_written(latent_size)}: only for network dense: expected groups and "
            "group_channels for levels on feature maps"
        )
    return trunk.hierarchy(image_shape, groups, group_channels)


def build(
    make: Callable[..., Any],
    entering_of: Callable[[tf.Tensor, DistributionLayer], tf.Tensor],
    statistics: Statistics,
    image_shape: tuple[int, ...],
    latent_size: int | Sequence[int],
    *,
    prior_of: Callable[[int], Prior],
    posterior: str,
    posterior_options: dict[str, Any],
    groups: tuple[int, ...],
    group_channels: tuple[int, ...],
    **options: Any,
) -> HierarchicalVAE:
    """A `HierarchicalVAE`, as `build_vae` describes it.

    Args:
      make: makes the part of a kind, from its positional arguments.
      entering_of: images [B, H, W, C] and the likelihood's layer to what enters the network.
      statistics: of the training images.
      image_shape: (H, W, C).
      latent_size: as `hierarchy_of` takes it.
      prior_of: the number of latents of the top level to its prior.
      posterior: of each level; the default one, on feature maps, is `MAP_POSTERIOR`.
      posterior_options: as its class takes them.
      groups: as `hierarchy_of` takes them.
      group_channels: likewise.
      **options: of `HierarchicalVAE`.
    """
    trunk = make("network")
    hierarchy = hierarchy_of(trunk, image_shape, latent_size, groups, group_channels)
    if isinstance(hierarchy, MapHierarchy) and posterior == POSTERIORS.default:
        posterior, posterior_options = MAP_POSTERIOR, {}
    likelihood_layer = make("likelihood", image_shape, convert_to_tensor_fn="mean")
    pixels = tf_keras.Input(image_shape)
    entering = entering_of(pixels, likelihood_layer)
    start = likelihood_layer.start(trunk.start_image(statistics.mean), statistics.deviation)
    top_down = hierarchy.top_down(start.shape, likelihood_layer.spread)
    flat = [tf_keras.layers.Flatten()(each) for each in hierarchy.features(entering)]
    features = tf_keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    vae = HierarchicalVAE(
        tf_keras.Model(pixels, features, name="bottom_up"),
        top_down,
        likelihood_layer,
        prior_of(top_down.sizes[0]),
        posterior,
        posterior_options,
        **options,
    )
    top_down.set_start(start)
    if isinstance(likelihood_layer, SharedScale):
        likelihood_layer.start_scale(statistics.deviation)
    return vae


def _written(numbers: int | Sequence[int]) -> str:
    return " ".join(map(str, numbers)) if isinstance(numbers, tuple | list) else str(numbers)
