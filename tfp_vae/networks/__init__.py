"""Networks: tensors in, tensors out."""

from typing import Annotated, Literal

from annotated_types import Interval

from tfp_vae.parts import Option, Part, Registry

_Sizes = tuple[Annotated[int, Interval(ge=1, lt=2**31)], ...]
_ACTIVATION = Option(
    Literal["silu", "relu", "tanh", "gelu"], "silu", "Activation after each hidden layer."
)
_FILTERS = Option(
    _Sizes,
    (),
    "Filters of each level of a convolutional network, which halves height and width, the "
    "decoder's in reverse; by default as many levels as leave at most 7x7 positions.",
)
_DROPOUT = Option(
    Annotated[float, Interval(ge=0, lt=1)],
    0.0,
    "Share of each hidden layer's outputs that training sets to 0, afresh in each step, against "
    "overfitting; `auto`: 0.1 for `resnet` where `--epochs` is `auto` too and the likelihood has a "
    "scale, otherwise 0.",
    auto=True,
)
_EVERY = {"activation": _ACTIVATION, "dropout": _DROPOUT}

NETWORKS = Registry(
    "network",
    "What encoder and decoder are made of; `auto` chooses by the images' size.",
    {
        "dense": Part(
            "tfp_vae.networks.dense:Dense",
            {
                "hidden_units": Option(
                    _Sizes,
                    (200, 200),
                    "Hidden layers of the dense network, the decoder's in reverse; none: linear.",
                ),
                **_EVERY,
            },
        ),
        "conv": Part("tfp_vae.networks.conv:Conv", {"filters": _FILTERS, **_EVERY}),
        "resnet": Part("tfp_vae.networks.resnet:ResNet", {"filters": _FILTERS, **_EVERY}),
    },
    auto=True,
)
