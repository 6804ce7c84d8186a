"""The models that `training.benchmark` trains, and the settings that describe one to every program.

Imports no TensorFlow until a case is asked for.
"""

from typing import Any, Protocol

from tfp_vae.errors import InputError

# Settings of the same names in `Config`, and whether to compute in bfloat16. The flags `activation`
# and `latent_size` replace a case's own.
_MNIST = {"likelihood": "independent_bernoulli", "activation": "relu", "latent_size": 50}
_DENSE = {**_MNIST, "network": "dense", "bfloat16": False}
_CONV = {**_MNIST, "network": "conv", "posterior": "independent_normal"}
_DIAGONAL = {**_DENSE, "posterior": "independent_normal"}
_RESNET = {
    "network": "resnet",
    "posterior": "independent_normal",
    "likelihood": "independent_normal",  # with one scale for all pixels, fitted while it trains
    "activation": "silu",
    "latent_size": 64,
}
CASES: dict[str, dict[str, Any]] = {
    "dense-diagonal": _DIAGONAL,
    "dense-full": {**_DENSE, "posterior": "multivariate_normal_tril"},
    "conv-float32": {**_CONV, "bfloat16": False},
    "conv-bfloat16": {**_CONV, "bfloat16": True},
    "resnet-64": {**_RESNET, "bfloat16": False},
    "resnet-64-bfloat16": {**_RESNET, "bfloat16": True},
    "dense-vamp": {**_DIAGONAL, "family": "prior-vamp"},
    "dense-iwae-5": {**_DIAGONAL, "family": "iwae-5"},
    "dense-iwae-50": {**_DIAGONAL, "family": "iwae-50"},
    "conv-codes": {**_CONV, "bfloat16": False, "family": "codes"},
}
SIDES = {"resnet-64": 64, "resnet-64-bfloat16": 64}  # in pixels, of the images of these cases
DEFAULT_CASES = tuple(case for case in CASES if case not in SIDES and "family" not in CASES[case])


class Flags(Protocol):
    """Those flags of the benchmark that describe a model."""

    activation: str | None
    latent_size: int | None


def model(case: str, flags: Flags, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """The settings of a case's model for images of this shape (H, W, C).

    Raises:
      InputError: images of a size that the case, or its convolutions in a peer, do not take.
    """
    from tfp_vae.networks import pyramid

    height, width, _ = image_shape
    given = {"activation": flags.activation, "latent_size": flags.latent_size}
    settings = {
        "family": "",
        **CASES[case],
        **{name: value for name, value in given.items() if value is not None},
        "filters": (),
    }
    expected = f"{SIDES[case]}x{SIDES[case]}" if case in SIDES else ""
    if settings["network"] != "dense":
        settings["filters"] = pyramid.default_filters(height, width)
        multiple = 2 ** len(settings["filters"])  # so that no peer has to crop
        if height % multiple or width % multiple:
            expected = expected or f"sides that are multiples of {multiple}"
    if expected and expected != f"{height}x{width}":
        raise InputError(f"--case {case}: images of {height}x{width}: expected {expected}")
    return settings
