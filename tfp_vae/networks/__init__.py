"""Networks: tensors in, tensors out."""

from typing import Annotated, Literal

from annotated_types import Interval

from tfp_vae.parts import Option, Part, Registry

_ACTIVATION = Option(Literal["relu", "tanh"], "relu", "Activation after each hidden layer.")

NETWORKS = Registry(
    "network",
    "What encoder and decoder are made of.",
    {
        "dense": Part(
            "tfp_vae.networks.dense:Dense",
            {
                "hidden_units": Option(
                    tuple[Annotated[int, Interval(ge=1, lt=2**31)], ...],
                    (200, 200),
                    "Hidden layers of the dense network, the decoder's in reverse; none: linear.",
                ),
                "activation": _ACTIVATION,
            },
        ),
        "conv": Part("tfp_vae.networks.conv:Conv", {"activation": _ACTIVATION}),
    },
)
