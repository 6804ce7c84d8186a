"""N(0, I), transformed by affine couplings."""

from typing import Any

import numpy as np
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.flows import Couplings, NormalFlow
from tfp_vae.priors.base import Prior

COUPLINGS = 6
HIDDEN_UNITS = 128


@tf_keras.saving.register_keras_serializable("tfp_vae")
class FlowPrior(Prior):
    """The distribution of f(x), x from N(0, I) and f affine couplings (Dinh et al., 2017).

    It starts as N(0, I). With one latent there is nothing that a coupling could depend on: it
    remains a Normal.

    Args:
      latent_size: D.
      couplings: how many, the even and the odd latents in turn.
      hidden_units: units of each of the two hidden layers of a coupling.
    """

    def __init__(
        self,
        latent_size: int,
        couplings: int = COUPLINGS,
        hidden_units: int = HIDDEN_UNITS,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_size, **kwargs)
        self.couplings, self.hidden_units = int(couplings), int(hidden_units)

    def build(self, input_shape: Any) -> None:
        self.flow = Couplings(self.latent_size, self.couplings, self.hidden_units, name="flow")
        super().build(input_shape)

    def distribution(self) -> tfd.Distribution:
        loc = np.zeros(self.latent_size, np.float32)
        return NormalFlow(loc, np.ones_like(loc), self.flow)

    def get_config(self) -> dict[str, Any]:
        own = {"couplings": self.couplings, "hidden_units": self.hidden_units}
        return {**super().get_config(), **own}
