"""A `QuantizedVAE` from the parts that `build_vae` has chosen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.errors import InputError
from tfp_vae.images.convert import to_float
from tfp_vae.layers import POSTERIORS
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.code_path import CodePath
from tfp_vae.layers.shared_scale import SharedScale
from tfp_vae.models import MODELS, MODELS_OF_CODES
from tfp_vae.models.build_hierarchical import DEFAULT_SIZE
from tfp_vae.models.quantized import QuantizedVAE
from tfp_vae.models.statistics import Statistics
from tfp_vae.networks import pyramid
from tfp_vae.networks.blocks import Residual
from tfp_vae.networks.on_maps import OnMaps
from tfp_vae.priors import PRIORS
from tfp_vae.priors.codes import CodePrior

tfkl = tf_keras.layers

MAX_POSITIONS = 8  # of the grid of codes next to the image, in each direction, by default


def build(
    make: Callable[..., Any],
    entering_of: Callable[[tf.Tensor, DistributionLayer], tf.Tensor],
    statistics: Statistics,
    image_shape: tuple[int, ...],
    images: np.ndarray | None,
    *,
    model: str,
    network: str,
    posterior: str,
    prior: Any,
    latent_size: Any,
    quantizer: str,
    codebook_size: int,
    code_size: int,
    prior_width: int,
    prior_blocks: int,
    kl: str,
    free_bits: float,
    beta: float,
    seed: int | None,
    **objective: Any,
) -> QuantizedVAE:
    """A `QuantizedVAE`, as `build_vae` describes it.

    Args:
      make: makes the part of a kind, from its positional arguments.
      entering_of: images [B, H, W, C] and the likelihood's layer to what enters the network.
      statistics: of the training images.
      image_shape: (H, W, C).
      images: some of the training images, at whose features the codes start; None for codes from
        N(0, I).
      model: a name in `MODELS_OF_CODES`.
      network: its name.
      posterior: the default, which does not apply; likewise the next four.
      prior: likewise.
      latent_size: likewise.
      kl: likewise.
      free_bits: likewise.
      beta: likewise.
      quantizer: as `CodePath` takes it.
      codebook_size: likewise.
      code_size: likewise.
      prior_width: as `CodePrior` takes it.
      prior_blocks: likewise.
      seed: of the codes.
      **objective: of `QuantizedVAE`.

    Raises:
      InputError: a setting that does not apply, or a network without feature maps.
    """
    fixed = {
        "posterior": (posterior, POSTERIORS.default),
        "prior": (prior, PRIORS.default),
        "latent_size": (latent_size, DEFAULT_SIZE),
        "free_bits": (free_bits, 0.0),
        "beta": (beta, 1.0),  # the KL of codes is a number
    }
    for name, (given, default) in fixed.items():
        if given is not default and given != default:
            raise InputError(f"{name} {given}: not for model {model}, whose latents are codes")
    if kl == "monte_carlo":
        raise InputError(f"kl {kl}: that of codes has one form: expected auto or exact")
    code_default = MODELS[model].options["code_size"].default
    if quantizer == "finite_scalar" and code_size != code_default:
        raise InputError(f"code_size {code_size}: only for quantizer vector, not {quantizer}")
    height, width, _ = image_shape
    trunk = make("network")
    if not isinstance(trunk, OnMaps):
        raise InputError(
            f"network {network}: model {model} has codes on a grid: expected conv, resnet"
        )
    trunk.filters = trunk.filters or pyramid.default_filters(height, width, MAX_POSITIONS)

    pixels = tf_keras.Input(image_shape)
    likelihood_layer = make("likelihood", image_shape, convert_to_tensor_fn="mean")
    maps = [trunk.features(entering_of(pixels, likelihood_layer))]
    for _ in range(MODELS_OF_CODES[model] - 1):
        x = tfkl.Conv2D(maps[0].shape[-1], pyramid.KERNEL, 2, "same", **trunk.entry)(maps[0])
        maps.insert(0, Residual(3, x.shape[-1], trunk.activation, trunk.maps)(x))
    flat = [tfkl.Flatten()(each) for each in maps]
    joined = tfkl.Concatenate()(flat) if len(flat) > 1 else flat[0]
    features = tf_keras.Model(pixels, joined, name="features")

    path = CodePath(
        [tuple(each.shape[1:]) for each in maps],
        int(np.prod(image_shape)),
        quantizer,
        codebook_size,
        code_size,
        trunk.activation,
        seed,
        name="codes",
    )
    start = likelihood_layer.start(trunk.start_image(statistics.mean), statistics.deviation)
    embedded = tf_keras.Input(path.embedded_shape)
    filters = trunk.smallest(height, width)[-1]
    x = tfkl.Conv2D(filters, 3, padding="same", **trunk.entry)(embedded)
    parameters = trunk.parameters(x, start, likelihood_layer.spread)
    of_codes = tf_keras.Model(embedded, parameters, name="trunk")
    code_prior = CodePrior(path.sizes, codebook_size, prior_width, prior_blocks)
    made = MODELS[model].load()(features, path, of_codes, likelihood_layer, code_prior, **objective)
    if images is not None:
        path.start(features(to_float(images), training=False).numpy())
    if isinstance(likelihood_layer, SharedScale):
        likelihood_layer.start_scale(statistics.deviation)
    return made
