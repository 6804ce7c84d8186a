"""The mixture of the posteriors of learned pseudo-inputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.images.convert import to_float
from tfp_vae.priors.base import Prior
from tfp_vae.priors.components import ComponentMixture


@tf_keras.saving.register_keras_serializable("tfp_vae")
class VampPrior(Prior):
    """The even mixture of q(z|u_k) at K pseudo-inputs (Tomczak and Welling, "VAE with a VampPrior",
    2018).

    The pseudo-inputs u_k are images in [0, 1], trained with the model. Its encoder sees them as it
    sees images, without noise; the gradient of the prior passes through the encoder. After each
    step of the optimizer they are clipped to [0, 1]: a sigmoid could not start at pixels of 0 and
    1, and its gradient vanishes near them; clipping as a part of the model would stop the gradient
    of a pixel that has left the interval.

    The encoder is not a part of the prior: `tfp_vae.VAE` binds it. The density of a prior that is
    not bound, such as that of an encoder loaded without its model, is NaN, and so are its draws.

    Args:
      latent_size: D.
      components: K.
      image_shape: (H, W, C); None is that of the model, where `tfp_vae.build_vae` makes it.
      images: [N, H, W, C], N >= K, floats in [0, 1] or uint8 0..255: K of them, by the seed that
        `tf_keras.utils.set_random_seed` sets, are the initial pseudo-inputs. None draws their
        pixels evenly from [0, 1].

    Raises:
      InputError: fewer images than components, or of another shape.
    """

    def __init__(
        self,
        latent_size: int,
        components: int = 100,
        image_shape: Sequence[int] | None = None,
        images: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_size, **kwargs)
        self.components = int(components)
        self.image_shape = None if image_shape is None else tuple(map(int, image_shape))
        self._images: Any = None
        self._posterior_of: Callable[[tf.Tensor], tfd.Distribution] | None = None
        if images is not None:
            self.start(np.shape(images)[1:] if image_shape is None else image_shape, images)

    def start(self, image_shape: Sequence[int], images: Any) -> None:
        shape = tuple(map(int, image_shape))
        if self.image_shape not in (None, shape):
            raise InputError(f"prior over images of {self.image_shape}: expected {shape}")
        self.image_shape = shape
        if self.built or images is None:
            return
        if tuple(np.shape(images)[1:]) != shape:
            raise InputError(f"images {np.shape(images)}: expected (N, {str(shape)[1:]}")
        if len(images) < self.components:
            raise InputError(
                f"prior_components {self.components}: expected at most {len(images)}, "
                "the number of images that they start at"
            )
        chosen = np.random.permutation(len(images))[: self.components]
        self._images = to_float(np.asarray(images)[chosen])

    def build(self, input_shape: Any) -> None:
        if self.image_shape is None:
            raise InputError("VampPrior without an image_shape: expected (height, width, channels)")
        images, grey = self._images, tf_keras.initializers.RandomUniform(0.0, 1.0)
        self.pseudo_inputs = self.add_weight(
            "pseudo_inputs",
            (self.components, *self.image_shape),
            initializer=grey if images is None else lambda *_, **__: images,
            constraint=_clipped,
            aggregation=tf.VariableAggregation.MEAN,  # replicas clip equal values
        )
        self._images = None
        super().build(input_shape)

    def bind(self, posterior_of: Callable[[tf.Tensor], tfd.Distribution]) -> None:
        self._posterior_of = posterior_of

    def distribution(self) -> tfd.Distribution:
        def posteriors() -> tfd.Distribution:
            if self._posterior_of is not None:
                return self._posterior_of(tf.convert_to_tensor(self.pseudo_inputs))
            unknown = tf.fill([self.components, self.latent_size], np.float32(np.nan))
            return tfd.MultivariateNormalDiag(unknown, tf.ones_like(unknown))

        return ComponentMixture(tf.zeros(self.components), posteriors, self.latent_size)

    def get_config(self) -> dict[str, Any]:
        own = {"components": self.components, "image_shape": self.image_shape}
        return {**super().get_config(), **own}


def _clipped(pixels: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(pixels, 0.0, 1.0)
