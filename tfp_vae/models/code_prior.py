"""Fitting the prior of a `QuantizedVAE` to the codes of images, after the model is trained."""

from typing import Any

import tensorflow as tf
import tf_keras

from tfp_vae.models.compiling import CompiledModel
from tfp_vae.models.quantized import QuantizedVAE


class CodePriorModel(CompiledModel):
    """Trains p(z) of a model on the codes of images; encoder, codes and decoder stay as they are.

    `fit` takes images, as the model's own does. The loss is the mean of -log p(z) at the codes of
    the images, in nats per image, times their weights where `fit` is given any; `kl` is without
    weights. Validation logs the terms of the bound, `val_elbo` among them.
    From the construction on, the network is the model's prior: as it starts at the uniform one, no
    number changes by that.

    Args:
      vae: a trained `QuantizedVAE`.
    """

    def __init__(self, vae: QuantizedVAE) -> None:
        super().__init__(dtype="float32", name="code_prior")
        self.vae = vae
        self.vae.prior_layer.fitted.assign(1.0)
        self.kl_tracker = tf_keras.metrics.Mean(name="kl")
        self.built = True

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """Those of the prior."""
        return self.vae.prior_layer.trainable_weights

    @property
    def metrics(self) -> list[tf_keras.metrics.Metric]:
        """The tracker of the loss, and those of the model, for validation."""
        return [self.kl_tracker, *self.vae.metrics]

    def check_images(self, data: Any) -> None:
        self.vae.check_images(data[0] if isinstance(data, tuple) else data)  # targets do not count

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The log p(z) at the codes of images, [B], nats."""
        codes = self.vae._posterior_of(images).mode()
        return self.vae.prior.log_prob(codes)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        images, _, weights = tf_keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            kl = -self(images)
            each = kl if weights is None else kl * tf.reshape(tf.cast(weights, kl.dtype), [-1])
            loss = tf.reduce_mean(each) / tf.distribute.get_strategy().num_replicas_in_sync
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self.kl_tracker.update_state(kl)
        self.vae.loss_tracker.update_state(each)
        return {"loss": self.vae.loss_tracker.result(), "kl": self.kl_tracker.result()}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        return self.vae.test_step(data)
