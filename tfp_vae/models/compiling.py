"""`compile` of a model whose optimizer's state comes back with it, from either format of Keras."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd


@tf_keras.saving.register_keras_serializable("tfp_vae")
def negative_log_likelihood(images: tf.Tensor, likelihood: tfd.Distribution) -> tf.Tensor:
    """-log p(x|z) of each image in nats, all constants kept: [B]."""
    return -likelihood.log_prob(images)


class CompiledModel(tf_keras.Model):
    """A `tf_keras.Model` with the reconstruction term as its loss, and its optimizer saved."""

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, validation_data: Any = None, **kwargs: Any
    ) -> tf_keras.callbacks.History:
        """As `tf_keras.Model.fit`; validation too may be images alone.

        A tuple of arrays is a pair, as a `tf.data.Dataset` gives them: Keras has models of several
        inputs in mind, which none here is.
        """
        if isinstance(x, tuple) and y is None:
            x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(x)
            if sample_weight is not None:
                kwargs["sample_weight"] = sample_weight
        if isinstance(validation_data, np.ndarray | tf.Tensor):
            validation_data = (validation_data,)
        return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    @property
    def learned_weights(self) -> list[tf.Variable]:
        """What training moves, and what is kept of its best epoch."""
        return self.trainable_weights

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = negative_log_likelihood, **kwargs: Any
    ) -> None:
        """As `tf_keras.Model.compile`; `loss` is the reconstruction term, without the KL."""
        saved = getattr(self, "optimizer", None)
        super().compile(optimizer, loss=loss, **kwargs)
        if kwargs.get("from_serialized") and self._build_optimizer() and saved is not None:
            # tf_keras reads the optimizer's state from a SavedModel, and would drop it here.
            for variable, value in zip(self.optimizer.variables, saved.variables, strict=True):
                variable.assign(value)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**tf_keras.saving.deserialize_keras_object(config))
        self._build_optimizer()  # so that its state can be loaded

    def _build_optimizer(self) -> bool:
        """Makes the optimizer's variables; False for a legacy one, which makes them in training."""
        modern = isinstance(self.optimizer, tf_keras.optimizers.Optimizer)
        if modern:
            self.optimizer.build(self.trainable_variables)
        return modern
