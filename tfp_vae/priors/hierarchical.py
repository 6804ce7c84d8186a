"""p(u) of a hierarchy: any prior at the top, N(0, I) at the levels below."""

from typing import Any

import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.priors.base import Prior
from tfp_vae.priors.fixed import as_prior
from tfp_vae.priors.standard_normal import standard_normal


@tf_keras.saving.register_keras_serializable("tfp_vae")
class HierarchicalPrior(Prior):
    """The prior of the latents u of `tfp_vae.networks.top_down.TopDown`, one vector of all levels.

    Each level below the top is given in units of p(z_l | z_>l), so that u_l is standard normal and
    does not depend on the levels above; m_l and s_l belong to the network.

    Args:
      top: the prior of the top level, as `as_prior` takes it; in a config, a layer's.
      sizes: the number of latents of each level, the top one first.

    Raises:
      InputError: a prior over another number of latents than the top level has.
    """

    def __init__(self, top: Any, sizes: list[int], **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "latent_size": sum(sizes)})
        self.sizes = [int(size) for size in sizes]
        self.top = as_prior(tf_keras.layers.deserialize(top) if isinstance(top, dict) else top)
        if self.top.latent_size != self.sizes[0]:
            raise InputError(
                f"prior over {self.top.latent_size} latents: expected {self.sizes[0]}, those of "
                "the top level"
            )

    def levels(self) -> list[tfd.Distribution]:
        """The prior of the latents of each level now, the top one first."""
        return [self.top(), *map(standard_normal, self.sizes[1:])]

    def distribution(self) -> tfd.Distribution:
        return tfd.Blockwise([self.top(), standard_normal(sum(self.sizes[1:]))])

    def start(self, image_shape: Any, images: Any) -> None:
        """As `Prior.start`, for the prior of the top level."""
        self.top.start(image_shape, images)

    def bind(self, posterior_of: Any) -> None:
        """As `Prior.bind`: the prior of the top level is given q(z_L|x)."""
        self.top.bind(lambda images: posterior_of(images).top())

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["latent_size"]
        return {**config, "top": tf_keras.layers.serialize(self.top), "sizes": self.sizes}
