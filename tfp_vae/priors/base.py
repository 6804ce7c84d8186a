"""What a prior is."""

from collections.abc import Callable, Sequence
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

    Attributes:
      latent_dtype: of a latent: float32, or int32 for codes.
    """

    latent_dtype = tf.float32

    def __init__(self, latent_size: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})  # densities are float32 throughout
        self.latent_size = int(latent_size)
        self.built = False

    def distribution(self) -> tfd.Distribution:
        """p(z) now, with event shape [D], no batch shape, and dtype `latent_dtype`."""
        raise TypeError(f"{type(self).__name__} does not define distribution()")

    def start(self, image_shape: Sequence[int], images: Any) -> None:
        """Takes what its weights start from; `build_vae` calls it before they are made.

        Args:
          image_shape: (H, W, C).
          images: some of the training images, as `build_vae` takes them, or None.
        """

    def bind(self, posterior_of: Callable[[tf.Tensor], tfd.Distribution]) -> None:
        """Takes the encoder of the `VAE` that the prior belongs to, which calls it.

        Args:
          posterior_of: images [B, H, W, C] to q(z|x), without a draw. A prior may call it, and must
            not own it: the encoder owns the prior, through its KL regularizer.
        """

    def __call__(self) -> tfd.Distribution:
        """`distribution()`; makes the weights first if there are none yet."""
        if not self.built:
            with tf.name_scope(self.name):
                self.build(None)
            self.built = True
        return self.distribution()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "latent_size": self.latent_size}
