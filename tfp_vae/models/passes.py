"""One pass over a batch, in training or validation: draws, densities, and the terms of the loss."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae import divergences, objectives
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.models.estimators import Densities, DensitiesAt, Draws, Estimate

if TYPE_CHECKING:
    from tfp_vae.models.vae import VAE

Objective = Callable[[Draws, DensitiesAt, Any], Estimate]


class Batch(NamedTuple):
    """What `fit` gives to a step."""

    images: tf.Tensor
    """What the encoder sees, [B, H, W, C]."""
    targets: tf.Tensor
    """x, [B, H, W, C]."""
    sample_weight: tf.Tensor | None
    """[B]"""


class Pass(NamedTuple):
    """What a pass found."""

    loss: tf.Tensor
    """What is minimised, a scalar; under `tf.distribute`, the replica's share of the sum."""
    terms: objectives.Elbo
    """[B], without beta, warm-up or free bits."""
    likelihood: tfd.Distribution
    """p(x|z) of each draw, with the batch shape [K * B]."""
    targets: tf.Tensor
    """x of each draw, [K * B, H, W, C]."""
    sample_weight: tf.Tensor | None
    """Of each draw, [K * B]."""
    bound: tf.Tensor | None = None
    """The importance-weighted bound, without beta: [B]; None for the ELBO."""
    weights: tf.Tensor | None = None
    """Of each draw in the decoder's gradient, 1 on average: [K * B]; None: all alike."""
    posterior: tfd.Distribution | None = None
    """q(z|x), where there is one draw."""

    @property
    def weights_of_images(self) -> tf.Tensor | None:
        """Of each of `targets` in the loss, [K * B]; None: all alike."""
        given = [each for each in (self.weights, self.sample_weight) if each is not None]
        flat = [tf.reshape(tf.cast(each, tf.float32), [-1]) for each in given]
        return tf.math.reduce_prod(flat, axis=0) if flat else None


class Drawn(NamedTuple):
    """K draws of a batch, under an objective."""

    estimate: Estimate
    posterior: tfd.Distribution
    """q(z|x), over [B, D]."""
    kl: tf.Tensor
    """KL(q(z|x) || p(z)): in closed form, or the mean over the draws, [B], nats."""


def one_draw(vae: "VAE", batch: Batch, training: bool) -> Pass:
    """The ELBO at the draw that the posterior layer makes; its KL is in the model's losses."""
    images, targets, sample_weight = batch
    posterior = vae.encoder(images, training=training)
    likelihood = vae._decoded(posterior, training)
    loss = vae.compute_loss(images, targets, likelihood, sample_weight)
    kl = getattr(posterior, "counted_kl", None)  # what the regularizer has found
    kl = vae.divergence(posterior) if kl is None else kl
    terms = objectives.elbo(likelihood.log_prob(targets), kl)
    return Pass(loss, terms, likelihood, targets, sample_weight, posterior=posterior)


def several_draws(
    vae: "VAE",
    objective: Objective,
    params_of: tf_keras.Model,
    regularizer: KLDivergenceRegularizer,
    batch: Batch,
    training: bool,
) -> Pass:
    """Any objective at `vae.num_samples` draws; `draw` says what memory they take.

    Args:
      vae: the model.
      objective: a function of `tfp_vae.models.estimators`.
      params_of: the encoder up to the parameters of the posterior, as `params_model` returns it.
        The posterior layer is not called, so that its activity regularizer adds no KL.
      regularizer: that one.
      batch: the images.
      training: whether to train.
    """
    count = vae.num_samples
    params = tf.cast(params_of(batch.images, training=training), tf.float32)
    of_encoder = list(params_of.losses)  # at the images: a prior may call the encoder at others
    targets = _repeated(batch.targets, count)
    drawn = draw(
        objective,
        vae.encoder.layers[-1],
        params,
        lambda latents: vae.decoder(latents, training=training),
        vae.prior,
        targets,
        num_samples=count,
        beta=vae.kl_weight,
        exact_kl=vae.kl_form == "exact",
    )
    densities, loss = drawn.estimate
    terms = objectives.elbo(tf.reduce_mean(densities.log_likelihood, axis=0), drawn.kl)
    weight = batch.sample_weight
    of_draws = None if weight is None else _repeated(weight, count)
    others = [*of_encoder, *vae.decoder.losses, *vae.prior_layer.losses]
    if loss is None:
        others.append(regularizer.penalty(drawn.posterior, drawn.kl))
        loss = vae.compiled_loss(
            targets, densities.likelihood, of_draws, regularization_losses=others
        )
        return Pass(loss, terms, densities.likelihood, targets, of_draws)
    return Pass(
        _mean(loss, weight, others),
        terms,
        densities.likelihood,
        targets,
        of_draws,
        objectives.importance_bound(densities.log_weights()),
        _normalised(densities.log_weights(vae.kl_weight)),
    )


def draw(
    objective: Objective,
    layer: DistributionLayer,
    params: tf.Tensor,
    decode: Callable[[tf.Tensor], tfd.Distribution],
    prior: tfd.Distribution,
    targets: tf.Tensor,
    *,
    num_samples: int,
    beta: Any,
    exact_kl: bool,
) -> Drawn:
    """K draws from q(z|x) of each image, decoded, under an objective.

    The encoder has run once, on B images; the decoder runs on K * B latents. What grows with K is
    the latents, and what the decoder keeps of its layers for the gradient.

    Args:
      objective: a function of `tfp_vae.models.estimators`.
      layer: makes the posterior; the seed is its next one.
      params: of the posterior, [B, params_size], float32.
      decode: latents [N, D] to p(x|z) over N images.
      prior: p(z) over [D].
      targets: x of each draw, [K * B, H, W, C].
      num_samples: K.
      beta: weight of log p(z) - log q(z|x) in the loss.
      exact_kl: whether q(z|x) and p(z) have a KL in closed form, which `kl` then is.
    """
    draws = layer.sample_several(params, num_samples, layer.next_seed())
    by_draw = tf.shape(draws.log_posterior)  # K, B

    def densities_at(latents: tf.Tensor, log_posterior: tf.Tensor) -> Densities:
        flat = tf.reshape(latents, [-1, latents.shape[-1]])
        likelihood = decode(flat)
        log_likelihood = tf.reshape(likelihood.log_prob(targets), by_draw)
        log_prior = tf.reshape(prior.log_prob(flat), by_draw)
        return Densities(likelihood, log_likelihood, log_prior, log_posterior)

    estimate = objective(draws, densities_at, beta)
    posterior = layer.make_distribution(params)
    kl = divergences.closed_form_kl(posterior, prior) if exact_kl else None
    if kl is None:
        at_draws = objectives.monte_carlo_kl(
            estimate.densities.log_posterior, estimate.densities.log_prior
        )
        kl = tf.reduce_mean(at_draws, axis=0)
    return Drawn(estimate, posterior, kl)


def _mean(loss: tf.Tensor, sample_weight: tf.Tensor | None, others: list[Any]) -> tf.Tensor:
    """The mean of `loss` [B] plus `others`, scalars; the replica's share, as Keras computes it."""
    if sample_weight is not None:
        loss *= tf.reshape(tf.cast(sample_weight, loss.dtype), [-1])
    total = tf.add_n([tf.reduce_mean(loss), *others])
    return total / tf.distribute.get_strategy().num_replicas_in_sync


def _normalised(log_weights: tf.Tensor) -> tf.Tensor:
    """The importance weights from their logarithms [K, B], 1 on average: [K * B], constants."""
    count = tf.cast(tf.shape(log_weights)[0], log_weights.dtype)
    return tf.stop_gradient(tf.reshape(count * tf.nn.softmax(log_weights, axis=0), [-1]))


def _repeated(values: tf.Tensor, count: int) -> tf.Tensor:
    """`values` [B, ...] once for each draw: [K * B, ...]."""
    return tf.tile(values, tf.concat([[count], tf.ones(tf.rank(values) - 1, tf.int32)], axis=0))
