"""`compile` of a model whose optimizer's state comes back with it, from either format of Keras."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError


@tf_keras.saving.register_keras_serializable("tfp_vae")
def negative_log_likelihood(images: tf.Tensor, likelihood: tfd.Distribution) -> tf.Tensor:
    """-log p(x|z) of each image in nats, all constants kept: [B]."""
    return -likelihood.log_prob(images)


def _together(x: Any, y: Any) -> Any:
    """Images and targets as a pair, images alone as they are; a list is refused as images."""
    return (x, y) if y is not None or isinstance(x, list) else x


class CompiledModel(tf_keras.Model):
    """A `tf_keras.Model` with the reconstruction term as its loss, and its optimizer saved."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Of a step's logs, which are means over all replicas: tf_keras would add those means up.
        self.distribute_reduction_method = "first"

    def check_images(self, data: Any) -> None:
        """Refuses images that the model cannot take, in one line.

        Args:
          data: images, or a pair or triple as Keras takes them, or batches of these.

        Raises:
          InputError: (a ValueError) images of another shape than the model's, or of values outside
            [0, 1].
        """
        raise TypeError(f"{type(self).__name__} does not define check_images()")

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, validation_data: Any = None, **kwargs: Any
    ) -> tf_keras.callbacks.History:
        """As `tf_keras.Model.fit`, on images alone or pairs; validation too may be images alone.

        A tuple of arrays is a pair, or a triple with sample weights, as a batch of a
        `tf.data.Dataset` is: Keras would take it for the inputs of a model of several.

        Raises:
          InputError: as `check_images`; weights of classes, which images without classes lack.
        """
        if kwargs.get("class_weight") is not None:
            raise InputError("class_weight: images have no classes here: expected sample_weight")
        if isinstance(x, tuple) and y is None:
            x, y, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(x)
            if sample_weight is not None:
                kwargs["sample_weight"] = sample_weight
        for data in (_together(x, y), validation_data):
            self.check_images(data)
        if isinstance(validation_data, np.ndarray | tf.Tensor):
            validation_data = (validation_data,)
        return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `tf_keras.Model.evaluate`, on images alone or pairs.

        Raises:
          InputError: as `check_images`.
        """
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked its validation images
            self.check_images(_together(x, y))
        return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        """As `tf_keras.Model.predict`.

        Raises:
          InputError: as `check_images`.
        """
        self.check_images(_together(x, None))
        return super().predict(x, *args, **kwargs)

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
            # tf_keras reads the optimizer's state from a SavedModel, and would drop it here. One
            # that has never trained has the number of its steps alone.
            trained = len(saved.variables) > 1
            pairs = zip(self.optimizer.variables, saved.variables, strict=trained)
            for variable, value in pairs:
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
