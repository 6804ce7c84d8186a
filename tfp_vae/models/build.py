"""A `VAE` from parts chosen by name."""

from collections.abc import Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.divergences import KL_FORMS
from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.full_covariance import FullCovarianceDense
from tfp_vae.layers.input_noise import InputNoise
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.layers.posteriors import MultivariateNormalTriL
from tfp_vae.layers.shared_scale import SharedScale
from tfp_vae.layers.sparse import CodeNoise, SigmoidCode
from tfp_vae.models import MODELS_OF_CODES, PARTS, build_hierarchical, build_quantized
from tfp_vae.models.checks import checked_shape
from tfp_vae.models.linear_path import linear_path
from tfp_vae.models.statistics import Statistics
from tfp_vae.models.vae import VAE
from tfp_vae.networks.training_noise import TrainingNoise
from tfp_vae.priors.base import Prior
from tfp_vae.priors.fixed import as_prior

INPUT_NOISE = 0.3  # in standard deviations of the pixels


def build_vae(
    image_shape: Sequence[int],
    latent_size: int | Sequence[int] = build_hierarchical.DEFAULT_SIZE,
    *,
    model: str = PARTS["model"].default,
    network: str = PARTS["network"].default,
    posterior: str = PARTS["posterior"].default,
    prior: str | Prior | tfd.Distribution = PARTS["prior"].default,
    likelihood: str = PARTS["likelihood"].default,
    objective: str = PARTS["objective"].default,
    corruption: str = PARTS["corruption"].default,
    kl: str = "auto",
    beta: float = 1.0,
    images: np.ndarray | None = None,
    seed: int | None = None,
    **options: Any,
) -> VAE:
    """A `VAE` from parts chosen by name.

    Args:
      image_shape: (H, W, C).
      latent_size: D, the number of latents; of a dense hierarchy those of each level, from the
        image up: (32, 16) has 16 at the top. There, D alone is (D, D // 2).
      model: a name in `tfp_vae.models.MODELS`.
      network: a name in `tfp_vae.networks.NETWORKS`.
      posterior: a name in `tfp_vae.layers.POSTERIORS`. On feature maps of a hierarchy it is
        "independent_normal", whatever the default is.
      prior: a name in `tfp_vae.priors.PRIORS`, or a prior as `VAE` takes it.
      likelihood: a name in `tfp_vae.layers.LIKELIHOODS`.
      objective: a name in `tfp_vae.models.OBJECTIVES`.
      corruption: a name in `tfp_vae.layers.CORRUPTIONS`: noise on the encoder's input in training.
      kl: "exact", "monte_carlo", or "auto": the closed form where TFP has one.
      beta: weight of the KL in the loss (Higgins et al., 2017); 1 is the ELBO.
      images: [N, H, W, C], some of the training images, floats in [0, 1] or uint8 0..255. The
        encoder standardises its input by their mean and standard deviation in each channel, and
        adds noise to it in training (`InputNoise`) where there is no corruption, unless it is
        binary; the decoder starts at their mean, a likelihood's scale at their deviation from it,
        the pseudo-inputs of a vamp prior at some of them. Beside a dense network a `LinearPath`
        starts as their probabilistic PCA. None standardises nothing, has no linear path, and
        starts at grey, 0.25 wide.
      seed: of the posterior's draws; weights follow `tf_keras.utils.set_random_seed`.
      **options: of the parts, as their registries declare them with types and defaults:
        `hidden_units`, `prior_components`, `num_samples`, ... They are also flags of
        `training.fit`.

    Raises:
      InputError: (a ValueError) an unknown name, an option that no chosen part has, a value that is
        not accepted, or an `image_shape` or `images` of another shape.
    """
    image_shape = checked_shape(image_shape)
    images = None if images is None else np.asarray(images)
    statistics = Statistics.of(images, image_shape)
    if not (isinstance(beta, Real) and 0 <= beta < float("inf")):
        raise InputError(f"beta {beta}: expected a number >= 0")
    if kl not in KL_FORMS:
        raise InputError(f"kl {kl!r}: expected one of {', '.join(KL_FORMS)}")
    prior_name = prior if isinstance(prior, str) else PARTS["prior"].default
    chosen = {
        "model": model,
        "network": network,
        "posterior": posterior,
        "prior": prior_name,
        "likelihood": likelihood,
        "objective": objective,
        "corruption": corruption,
    }
    arguments = _arguments(chosen, options)
    free_bits = arguments["objective"].pop("free_bits", 0.0)

    def make(kind: str, *positional: Any, **named: Any) -> Any:
        return PARTS[kind][chosen[kind]].load()(*positional, **named, **arguments[kind])

    def prior_of(size: int) -> Prior:
        made = make("prior", size) if isinstance(prior, str) else prior
        if isinstance(made, Prior):
            made.start(image_shape, images)
        return as_prior(made)

    entering_of = partial(
        _entering,
        corruption=make("corruption", seed=seed),
        statistics=None if images is None else statistics,
        seed=seed,
    )
    if model in MODELS_OF_CODES:
        return build_quantized.build(
            make,
            partial(entering_of, noise=0.0),  # an image has one code
            statistics,
            image_shape,
            images,
            model=model,
            network=network,
            posterior=posterior,
            prior=prior,
            latent_size=latent_size,
            **arguments["model"],
            **arguments["objective"],
            objective=objective,
            free_bits=free_bits,
            kl=kl,
            beta=beta,
            seed=seed,
        )
    if model != PARTS["model"].default:
        return build_hierarchical.build(
            make,
            entering_of,
            statistics,
            image_shape,
            latent_size,
            prior_of=prior_of,
            posterior=posterior,
            posterior_options=arguments["posterior"],
            **arguments["model"],
            **arguments["objective"],
            objective=objective,
            free_bits=free_bits,
            kl=kl,
            beta=beta,
            seed=seed,
        )
    latent_size = build_hierarchical.one_size(latent_size)
    trunk = make("network")
    posterior_layer = make("posterior", latent_size, seed=seed)
    prior_layer = prior_of(latent_size)
    likelihood_layer = make("likelihood", image_shape, convert_to_tensor_fn="mean")

    pixels = tf_keras.Input(image_shape)
    size = int(posterior_layer.params_size(latent_size))
    noise = INPUT_NOISE if posterior_layer.has_density else 0.0
    entering = entering_of(pixels, likelihood_layer, noise=noise)
    if isinstance(posterior_layer, MultivariateNormalTriL):
        last = FullCovarianceDense(latent_size, kernel_initializer=_small())
    else:
        last = tf_keras.layers.Dense(size, kernel_initializer=_small())
    features = trunk.encode(entering)
    path = linear_path(images, latent_size, trunk, posterior_layer, likelihood_layer)
    if path:
        features = tf_keras.layers.Concatenate()([features, path.features(entering, statistics)])
    params = last(features)
    if path:
        path.start_posterior(last, posterior_layer)
    encoder = tf_keras.Model(pixels, posterior_layer(params), name="encoder")
    if not posterior_layer.has_density:
        _refuse_settings_of_kl(posterior, free_bits, beta, kl)
    else:
        exact = {"exact": True, "monte_carlo": False, "auto": None}[kl]
        posterior_layer.activity_regularizer = KLDivergenceRegularizer(
            prior_layer, use_exact_kl=exact, weight=beta, free_bits=free_bits
        )

    latents = tf_keras.Input((latent_size,))
    decoded = CodeNoise(seed=seed)(latents) if isinstance(posterior_layer, SigmoidCode) else latents
    linear = path if likelihood_layer.in_pixel_units else None
    deviation = linear.deviation if linear else statistics.deviation
    start = likelihood_layer.start(trunk.start_image(statistics.mean), deviation)
    if linear:  # the network starts at 0
        parameters = trunk.decode(decoded, np.zeros_like(start), spread=0.0)
        pixels_of = tf_keras.layers.Add(dtype="float32")
        parameters = pixels_of([parameters, linear.decode(latents, start)])
    else:
        parameters = trunk.decode(decoded, start, likelihood_layer.spread)
    decoder = tf_keras.Model(latents, likelihood_layer(parameters), name="decoder")
    if isinstance(likelihood_layer, SharedScale):
        likelihood_layer.start_scale(deviation)
    return VAE(encoder, decoder, prior_layer, objective, **arguments["objective"])


def _refuse_settings_of_kl(posterior: str, free_bits: float, beta: float, kl: str) -> None:
    for name, given, kept in (("free_bits", free_bits, 0), ("beta", beta, 1), ("kl", kl, "auto")):
        if given != kept:
            raise InputError(f"{name} {given}: posterior {posterior} has no KL: expected {kept}")


def _entering(
    pixels: tf.Tensor,
    likelihood_layer: DistributionLayer,
    *,
    corruption: TrainingNoise | None,
    statistics: Statistics | None,
    seed: int | None,
    noise: float = INPUT_NOISE,
) -> tf.Tensor:
    """What enters a network for `pixels`: corrupted, then standardised by given `statistics`."""
    if corruption is not None:
        pixels = corruption(pixels)
    if statistics is None or likelihood_layer.binary:  # zeros and ones enter as they are
        return pixels
    entering = statistics.standardized(pixels)
    if corruption is not None or not noise:
        return entering
    return InputNoise(noise, seed=seed)(entering)


def _arguments(chosen: dict[str, str], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The constructor arguments of each chosen part, by kind."""
    known = {key for registry in PARTS.values() for key in registry.options}
    unknown = [key for key in options if key not in known]
    if unknown:
        raise InputError(f"{unknown[0]}: expected an option of a part: {', '.join(sorted(known))}")
    return {
        kind: registry.arguments(
            chosen[kind], {key: options[key] for key in registry.options if key in options}
        )
        for kind, registry in PARTS.items()
    }


def _small() -> tf_keras.initializers.Initializer:
    """Small initial weights: q(z|x) hardly depends on x; else the first KL is hundreds of nats."""
    return tf_keras.initializers.VarianceScaling(0.1)
