"""How a `VAE` joins posterior and prior: do they suit, is q(z|x) a Normal, is the KL exact."""

from typing import NamedTuple

import tensorflow as tf
import tf_keras

from tfp_vae import divergences
from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionFn, DistributionLayer
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.priors.base import Prior


class Inspection(NamedTuple):
    """`VAE.posterior_is_normal` and `VAE.kl_form`."""

    posterior_is_normal: bool
    kl_form: divergences.KLForm


def bind_prior(
    prior: Prior, posterior_layer: tf_keras.layers.Layer, posterior_of: DistributionFn
) -> None:
    """Gives a prior the encoder, as a function that draws no sample.

    Raises:
      InputError: a prior with weights and no KL to train them; or one that calls the encoder, where
        this ends in a layer of another package.
    """
    layer, name = type(posterior_layer).__name__, type(prior).__name__
    if prior.trainable_weights and not getattr(posterior_layer, "has_density", True):
        raise InputError(
            f"prior {name} with a {layer} posterior, which has no KL to train it: "
            "expected another posterior, or a prior without weights"
        )
    if isinstance(posterior_layer, DistributionLayer):
        prior.bind(posterior_of)
    elif type(prior).bind is not Prior.bind:
        raise InputError(f"prior {name} with a {layer} posterior: expected a layer of tfp_vae")


def inspect_posterior(
    encoder: tf_keras.Model,
    posterior_of: DistributionFn,
    regularizer: KLDivergenceRegularizer | None,
    latent_size: int,
) -> Inspection:
    """Traces the encoder; computes nothing.

    Args:
      encoder: images to a posterior.
      posterior_of: the same, as a function that draws no sample.
      regularizer: that of the KL; None without one.
      latent_size: D, as the decoder takes.

    Raises:
      InputError: q(z|x) is not one vector for each image, of D latents.
    """
    found: list[Inspection] = []

    @tf.function(autograph=False)
    def trace(images: tf.Tensor) -> None:
        posterior = posterior_of(images)
        event, batch = posterior.event_shape, posterior.batch_shape
        if event != [latent_size] or batch.rank != 1:
            shapes = f"event shape {event}, batch shape {batch}"
            expected = f"the event [{latent_size}], as the decoder takes, and the batch [B]"
            raise InputError(f"posterior {posterior.name}: {shapes}: expected {expected}")
        kl_form: divergences.KLForm = "none"
        if regularizer is not None:
            prior, points = regularizer.prior(), tf.zeros([1, latent_size])
            _, kl_form = divergences.kl_divergence(
                posterior, prior, lambda: points, regularizer.form
            )
        is_normal = divergences.as_multivariate_normal(posterior) is not None
        found.append(Inspection(is_normal, kl_form))

    trace.get_concrete_function(tf.TensorSpec(encoder.input_shape, tf.float32))
    return found[0]
