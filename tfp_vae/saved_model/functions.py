"""The signatures of the contract as TensorFlow functions of a live `VAE`."""

import tensorflow as tf

from tfp_vae import divergences, objectives
from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer, distribution_fn
from tfp_vae.layers.codes import CodePosterior
from tfp_vae.models import PARTS
from tfp_vae.models.vae import VAE
from tfp_vae.priors.base import Prior
from tfp_vae.priors.codes import CodePrior
from tfp_vae.priors.fixed import FixedPrior
from tfp_vae.priors.standard_normal import StandardNormal
from tfp_vae.saved_model.contract import Description

Functions = dict[str, tf.types.experimental.PolymorphicFunction]
Tensors = dict[str, tf.Tensor]


def signatures(vae: VAE) -> Functions:
    """The functions of `contract`, by name; they follow the model's weights as these change.

    Raises:
      InputError: a model that ends in a layer of another package.
    """
    posterior_layer, likelihood_layer = _last_layers(vae)
    posterior_of, likelihood_of = distribution_fn(vae.encoder), distribution_fn(vae.decoder)
    image = tf.TensorSpec([None, *vae.encoder.input_shape[1:]], tf.float32, name="image")
    latent_dtype = vae.prior_layer.latent_dtype
    latent = tf.TensorSpec([None, *vae.decoder.input_shape[1:]], latent_dtype, name="latent")
    n = tf.TensorSpec([], tf.int32, name="n")
    seed = tf.TensorSpec([2], tf.int32, name="seed")

    has_codes = isinstance(posterior_layer, CodePosterior)

    @tf.function(input_signature=[image])
    def serving_default(image: tf.Tensor) -> Tensors:
        posterior = posterior_of(image)
        return {"reconstruction": likelihood_of(posterior_layer.centre(posterior)).mean()}

    @tf.function(input_signature=[image])
    def encode(image: tf.Tensor) -> Tensors:
        posterior = posterior_of(image)
        if has_codes:
            return {"code": posterior.mode()}
        moments = {"mean": posterior.mean(), "stddev": posterior.stddev()}
        normal = divergences.as_multivariate_normal(posterior)
        return moments if normal is None else {**moments, "scale_tril": normal.scale.to_dense()}

    @tf.function(input_signature=[latent])
    def decode(latent: tf.Tensor) -> Tensors:
        return {"mean": likelihood_of(latent).mean()}

    @tf.function(input_signature=[n, seed])
    def sample(n: tf.Tensor, seed: tf.Tensor) -> Tensors:
        latents = vae.prior.sample(n, seed=seed)
        return {"image": likelihood_of(latents).mean(), "latent": latents}

    @tf.function(input_signature=[image, latent])
    def log_likelihood(image: tf.Tensor, latent: tf.Tensor) -> Tensors:
        return {"log_likelihood": likelihood_of(latent).log_prob(image)}

    @tf.function(input_signature=[image, seed])
    def elbo(image: tf.Tensor, seed: tf.Tensor) -> Tensors:
        posterior = posterior_of(image)
        latents = posterior_layer.sample(posterior, seed)
        kl = vae.divergence(posterior, latents)
        return objectives.elbo(likelihood_of(latents).log_prob(image), kl)._asdict()

    @tf.function(input_signature=[image, seed])
    def sample_posterior(image: tf.Tensor, seed: tf.Tensor) -> Tensors:
        latents, log_posterior = posterior_layer.sample_and_log_prob(posterior_of(image), seed)
        return {"latent": latents, "log_posterior": log_posterior}

    @tf.function(input_signature=[latent])
    def log_prior(latent: tf.Tensor) -> Tensors:
        return {"log_prior": vae.prior.log_prob(latent)}

    @tf.function(input_signature=[latent, seed])
    def sample_image(latent: tf.Tensor, seed: tf.Tensor) -> Tensors:
        # Another seed than that of `sample`, whose noise this would otherwise repeat.
        seed = tf.random.experimental.stateless_fold_in(seed, 1)
        drawn = likelihood_layer.sample(likelihood_of(latent), seed)
        return {"image": tf.cast(drawn, tf.float32)}

    @tf.function(input_signature=[latent])
    def embed(latent: tf.Tensor) -> Tensors:
        return {"embedding": posterior_layer.path.embed(latent)}

    made = [serving_default, encode, decode, sample, log_likelihood, elbo, sample_image]
    if posterior_layer.has_density:
        made += [sample_posterior, log_prior]
    if has_codes:
        made.append(embed)
    return {function.__name__: function for function in made}


def densities_at_draws(vae: VAE) -> tf.types.experimental.PolymorphicFunction | None:
    """The model's `densities_at_draws`, which is no signature; None where it has none."""
    if vae.densities_at_draws is None:
        return None
    image = tf.TensorSpec([None, *vae.encoder.input_shape[1:]], tf.float32)
    count, seed = tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)
    return tf.function(vae.densities_at_draws, input_signature=[image, count, seed])


def describe(vae: VAE) -> Description:
    """The `Description` of a model.

    Raises:
      InputError: a model that ends in a layer of another package.
    """
    posterior_layer, likelihood_layer = _last_layers(vae)
    (latent_size,) = vae.decoder.input_shape[1:]
    posterior, prior = vae.named_parts()
    return Description(
        model=_model(vae),
        posterior=_name("posterior", posterior),
        prior=_name("prior", prior),
        likelihood=_name("likelihood", likelihood_layer),
        log_likelihood="probability" if likelihood_layer.discrete else "density",
        kl=vae.kl_form,
        has_density=posterior_layer.has_density,
        posterior_is_normal=vae.posterior_is_normal,
        prior_is_standard_normal=type(prior) is StandardNormal,
        latent_shape=(latent_size,),
        latent_dtype=vae.prior_layer.latent_dtype.name,
        codebook_size=getattr(vae.prior_layer, "codebook_size", None),
        latent_levels=vae.latent_levels,
    )


def _last_layers(vae: VAE) -> list[DistributionLayer]:
    layers = [model.layers[-1] for model in (vae.encoder, vae.decoder)]
    for model, layer in zip((vae.encoder, vae.decoder), layers, strict=True):
        if not isinstance(layer, DistributionLayer):
            raise InputError(
                f"{model.name} ends in {type(layer).__name__}: expected a layer of tfp_vae, "
                "or a subclass of tfp_vae.DistributionLayer"
            )
    return layers


def _model(vae: VAE) -> str:
    """The name of the model in its registry; of a subclass, that of the model it extends."""
    names = {part.load(): name for name, part in PARTS["model"].items()}
    return next(names[base] for base in type(vae).__mro__ if base in names)


def _name(kind: str, layer: DistributionLayer | Prior) -> str:
    """The name of a part in its registry; otherwise that of its class."""
    if isinstance(layer, FixedPrior):
        fixed = layer.distribution()
        name = type(fixed).__name__
        return f"{name}({type(fixed.distribution).__name__})" if name == "Independent" else name
    if isinstance(layer, CodePosterior):
        return layer.path.quantizer
    if isinstance(layer, CodePrior):
        return layer.family
    for name, part in PARTS[kind].items():
        if type(layer) in part.classes():
            return name
    return type(layer).__name__
