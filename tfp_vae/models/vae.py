"""The model: a posterior, a prior and a likelihood under one objective, trained by `fit`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfpl

from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer, distribution_fn, params_model
from tfp_vae.layers.kl import KLDivergenceRegularizer, deserialize_prior, regularizer_of
from tfp_vae.layers.shared_scale import SharedScale
from tfp_vae.models import OBJECTIVES, passes
from tfp_vae.models.checks import check_loss, check_objective, check_training_data
from tfp_vae.models.compiling import CompiledModel, negative_log_likelihood
from tfp_vae.models.inspection import bind_prior, inspect_posterior
from tfp_vae.priors.base import Prior
from tfp_vae.priors.fixed import as_prior, is_same_prior
from tfp_vae.priors.standard_normal import StandardNormal


@tf_keras.saving.register_keras_serializable("tfp_vae")
class VAE(CompiledModel):
    """A variational autoencoder (Kingma and Welling, 2014) of two models and a prior.

    The loss is the mean over the batch of `-log p(x|z) + beta * KL(q(z|x) || p(z))`, each summed
    over its dimensions, in nats per image, with z one draw from q(z|x). Training and validation log
    it as `loss`, and `elbo`, `reconstruction_nll` and `kl`, which never carry beta, beside it. The
    other objectives, and the ELBO of several draws, are in `tfp_vae.models.estimators`.

    The KL is an activity regularizer of the encoder's last layer. A `sample_weight` does not weigh
    it, but weighs the whole bound of "iwae", "stl" and "dreg". An encoder without a regularizer is
    given `KLDivergenceRegularizer(prior, use_exact_kl=None)` here; one that has it stays as it was.

    Args:
      encoder: images [B, H, W, C] to a posterior over [B, D]: a tf_keras model that ends in one of
        the layers of `tfp_vae.layers.posteriors`, or in a `DistributionLayer` of your own.
      decoder: latents [B, D] to a likelihood over [B, H, W, C], a tf_keras model.
      prior: p(z) over [D], a `tfp_vae.Prior` or a `tfd.Distribution` with fixed parameters; None is
        that of the encoder's regularizer, or N(0, I).
      objective: a name in `tfp_vae.models.OBJECTIVES`. Other objectives than "elbo" take the KL at
        their draws in place of the regularizer's, and log their bound as `iwae`.
      num_samples: K, the draws from q(z|x) for each image and step.

    Attributes:
      prior_layer: the `tfp_vae.Prior`.
      kl_form: "exact", "monte_carlo", or "none" for a posterior without a density.
      posterior_is_normal: whether q(z|x) is a Normal.
      kl_weight: beta, a variable; None without a KL.
      latent_levels: the level of each latent, [D]: 0, as there is one.

    Raises:
      InputError: (a ValueError) a model without an input shape; an encoder without a distribution
        layer at its end, or whose KL regularizer is the stock one, one of several, or against
        another prior; a prior over other latents; or no closed form for `use_exact_kl=True`.
    """

    # What `sample_posterior`, `log_likelihood` and `log_prior` give, with less work.
    densities_at_draws: Callable[..., dict[str, tf.Tensor]] | None = None

    def __init__(
        self,
        encoder: tf_keras.Model,
        decoder: tf_keras.Model,
        prior: Prior | tfd.Distribution | None = None,
        objective: str = OBJECTIVES.default,
        num_samples: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype="float32", **kwargs)
        if not (encoder.inputs and decoder.inputs):
            raise InputError("encoder and decoder: expected models whose input shapes are known")
        posterior_layer = encoder.layers[-1]
        if not isinstance(posterior_layer, tfpl.DistributionLambda):
            raise InputError(
                f"encoder ends in {type(posterior_layer).__name__}: expected a layer that makes a "
                "distribution, such as tfp_vae.MultivariateNormalTriL"
            )
        self.encoder = encoder
        self.decoder = decoder
        # `distribution_fn` does not sample: a sample would advance the generator of training.
        own = isinstance(posterior_layer, DistributionLayer)
        self._posterior_of = distribution_fn(encoder) if own else encoder
        self._regularizer = regularizer_of(encoder)
        has_density = getattr(posterior_layer, "has_density", True)
        if self._regularizer is not None:
            if not has_density:
                name = type(posterior_layer).__name__
                raise InputError(f"encoder: {name} has no density: expected no KL regularizer")
            self.prior_layer = self._regularizer.prior
            if prior is not None and not is_same_prior(prior, self.prior_layer):
                raise InputError("encoder has a KL against another prior: give the prior once")
        else:
            latent_size = decoder.input_shape[-1]
            self.prior_layer = as_prior(StandardNormal(latent_size) if prior is None else prior)
            if has_density:
                self._regularizer = KLDivergenceRegularizer(self.prior_layer, use_exact_kl=None)
        if self._regularizer is not None:
            # Keras tracks a regularizer that is assigned, not one that a constructor was given: so
            # `weights` have one order, whether the model was built or loaded.
            posterior_layer.activity_regularizer = self._regularizer
        if self.prior_layer.latent_size != decoder.input_shape[-1]:
            raise InputError(
                f"prior over {self.prior_layer.latent_size} latents: "
                f"expected {decoder.input_shape[-1]}, as the decoder takes"
            )
        bind_prior(self.prior_layer, posterior_layer, self._posterior_of)
        self.latent_levels = (0,) * self.prior_layer.latent_size
        self.kl_weight = None if self._regularizer is None else self._regularizer.weight
        self.posterior_is_normal, self.kl_form = inspect_posterior(
            encoder, self._posterior_of, self._regularizer, decoder.input_shape[-1]
        )
        num_samples = check_objective(objective, num_samples, posterior_layer, self._regularizer)
        self.objective, self.num_samples = objective, num_samples
        self._pass = partial(passes.one_draw, self)
        if self._regularizer and (objective, num_samples) != (OBJECTIVES.default, 1):
            parts = OBJECTIVES[objective].load(), params_model(encoder), self._regularizer
            self._pass = partial(passes.several_draws, self, *parts)
        self.loss_tracker = tf_keras.metrics.Mean(name="loss")
        self.elbo_tracker = tf_keras.metrics.Mean(name="elbo")
        self.reconstruction_nll_tracker = tf_keras.metrics.Mean(name="reconstruction_nll")
        self.kl_tracker = tf_keras.metrics.Mean(name="kl")
        if objective != OBJECTIVES.default:
            self.bound_tracker = tf_keras.metrics.Mean(name="iwae")
        self(encoder.inputs[0])  # the shapes that saving needs

    @property
    def prior(self) -> tfd.Distribution:
        """p(z) over [D] now."""
        return self.prior_layer()

    def named_parts(self) -> tuple[tf_keras.layers.Layer, Prior]:
        """What a description names."""
        # A method: tf_keras would track the layers that a property returns.
        return self.encoder.layers[-1], self.prior_layer

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """Keras's list with the prior's weights moved to its end.

        The optimizer's state is saved in this order, and the place that Keras gives the prior's
        weights depends on how the encoder was made.
        """
        prior = {id(weight) for weight in self.prior_layer.weights}
        return sorted(super().trainable_weights, key=lambda weight: id(weight) in prior)

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """Keras's, with `loss_tracker` for Keras's own loss metric, which is in no checkpoint."""
        return [self.loss_tracker, *(each for each in super().metrics if each.name != "loss")]

    def call(self, images: tf.Tensor, training: bool | None = None) -> tfd.Distribution:
        """p(x|z) with z one draw from q(z|x), a `tfd.Distribution` over [B, H, W, C]."""
        return self.decoder(self.encoder(images, training=training), training=training)

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = negative_log_likelihood, **kwargs: Any
    ) -> None:
        """As `tf_keras.Model.compile`; `loss` is the reconstruction term, without the KL.

        Raises:
          InputError: another loss than the default, where the objective is not "elbo".
        """
        check_loss(loss, self.objective)
        super().compile(optimizer, loss=loss, **kwargs)

    def check_images(self, data: Any) -> None:
        check_training_data(data, self.encoder.input_shape[1:], self.decoder.layers[-1])

    def divergence(
        self, posterior: tfd.Distribution, latents: tf.Tensor | None = None
    ) -> tf.Tensor:
        """KL(q(z|x) || p(z)) of each image as the loss counts it, without beta: [B], nats.

        Args:
          posterior: q(z|x), as `encoder` returns it.
          latents: draws from it [B, D], where the KL is a Monte Carlo one; None is the layer's own.
        """
        if self._regularizer is None:
            return tf.zeros(posterior.batch_shape_tensor())
        return self._regularizer.divergence(posterior, latents)

    def _decoded(self, posterior: tfd.Distribution, training: bool) -> tfd.Distribution:
        """p(x|z) at the encoder's own draw; a subclass may update metrics of its own here."""
        return self.decoder(posterior, training=training)

    def _forward(self, data: Any, training: bool) -> tuple[passes.Pass, dict[str, tf.Tensor]]:
        """One pass over `data`; updates the metrics."""
        images, targets, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        targets = images if targets is None else targets
        if not (images.dtype.is_floating and targets.dtype.is_floating):
            raise InputError(f"images of {images.dtype.name}: expected floats in [0, 1]")
        images, targets = tf.cast(images, tf.float32), tf.cast(targets, tf.float32)
        done = self._pass(passes.Batch(images, targets, sample_weight), training)
        # Keras scales a loss to be summed over the replicas; its mean counts a batch by its size.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.loss_tracker.update_state(done.loss * replicas, sample_weight=tf.shape(images)[0])
        self.elbo_tracker.update_state(done.terms.elbo)
        self.reconstruction_nll_tracker.update_state(done.terms.reconstruction_nll)
        self.kl_tracker.update_state(done.terms.kl)
        if done.bound is not None:
            self.bound_tracker.update_state(done.bound)
        return done, self.compute_metrics(images, done.targets, done.likelihood, done.sample_weight)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            done, logs = self._forward(data, training=True)
        self.optimizer.minimize(done.loss, self.trainable_variables, tape=tape)
        self._calibrate(done)
        return logs

    def _calibrate(self, done: passes.Pass) -> None:
        """Moves, after the optimizer's step, what is fitted without a gradient."""
        likelihood_layer = self.decoder.layers[-1]
        if isinstance(likelihood_layer, SharedScale):
            likelihood_layer.calibrate(done.likelihood, done.targets, done.weights_of_images)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        return self._forward(data, training=False)[1]

    def predict_step(self, data: Any) -> tf.Tensor:
        """The mean of p(x|z) at the mean of q(z|x), [B, H, W, C]: what `predict` returns."""
        images, _, _ = tf_keras.utils.unpack_x_y_sample_weight(data)
        return self.decoder(self._posterior_of(images).mean(), training=False).mean()

    def get_config(self) -> dict[str, Any]:
        prior = tf_keras.layers.serialize(self.prior_layer)
        return {
            "name": self.name,
            "encoder": tf_keras.layers.serialize(self.encoder),
            "decoder": tf_keras.layers.serialize(self.decoder),
            "prior": prior if self._regularizer is None else None,  # else in the encoder's config
            "objective": self.objective,
            "num_samples": self.num_samples,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "VAE":
        encoder = tf_keras.layers.deserialize(config["encoder"], custom_objects)
        decoder = tf_keras.layers.deserialize(config["decoder"], custom_objects)
        prior = None if config["prior"] is None else deserialize_prior(config["prior"])
        # The config of version 0.1.0 has no objective.
        own = {key: config[key] for key in ("objective", "num_samples") if key in config}
        return cls(encoder=encoder, decoder=decoder, prior=prior, name=config["name"], **own)
