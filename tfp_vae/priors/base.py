"""What a prior is."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd


class Prior(tf_keras.layers.Layer):
    """A Keras layer without inputs that returns p(z), a `tfd.Distribution` over [D].

    Subclasses define `distribution()`. Weights, if any, are added in `build`; they are trained with
    the model that the prior belongs to, and saved with it.

    Args:
      latent_size: D, the number of latents.
    """

    def __init__(self, latent_size: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})  # densities are float32 throughout
        self.latent_size = int(latent_size)
        self.built = False

    def distribution(self) -> tfd.Distribution:
        """p(z) now, with event shape [D], no batch shape, and dtype float32."""
        raise TypeError(f"{type(self).__name__} does not define distribution()")

    def __call__(self) -> tfd.Distribution:
        """`distribution()`; makes the weights first if there are none yet."""
        if not self.built:
            with tf.name_scope(self.name):
                self.build(None)
            self.built = True
        return self.distribution()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "latent_size": self.latent_size}
