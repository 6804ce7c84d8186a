"""The command that describes a run, for people or as JSON. TensorFlow is imported inside it."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line

if TYPE_CHECKING:
    from tfp_vae.inference.model import InferenceModel
    from tfp_vae.saved_model.contract import Description


def info(
    run: cli.Run,
    /,
    *,
    format: Annotated[
        Literal["text", "json"], Parameter(help="Lines to read, or one JSON object.")
    ] = "text",
) -> None:
    """Print what a run is: its model, its settings, its test metrics and its signatures."""
    import tfp_vae
    from tfp_vae.saved_model.load import find, read_json

    model = tfp_vae.load(run)
    folder = find(run)
    settings, metrics = (read_json(folder, name) for name in ("config.json", "metrics.json"))
    if format == "json":
        print(_json(model, settings, metrics))
    else:
        _print(model, settings, metrics)


def _print(model: "InferenceModel", settings: dict[str, Any], metrics: dict[str, Any]) -> None:
    parameters = sum(model.weight_sizes)
    print(f"{model.path}: images {model.image_shape}, {model.latent_size} latents")
    print(f"{parameters:,} parameters, {4 * parameters / 1e6:.1f} MB in float32")
    for title, values in (
        ("model", _described(model.description)),
        ("settings", settings),
        ("test metrics, in nats per image", metrics),
    ):
        if values:
            print(f"\n{title}")
        for name, value in values.items():
            print("  " + one_line(f"{name}: {value}"))
    print("\nsignatures")
    for name, signature in sorted(model.signatures.items()):
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
        print(f"  {name}({_written(inputs)}) -> {_written(outputs)}")


def _json(model: "InferenceModel", settings: dict[str, Any], metrics: dict[str, Any]) -> str:
    """A JSON object; `description` is `assets/tfp_vae.json`, NaN and infinity become null."""
    values = {
        "path": str(model.path),
        "image_shape": model.image_shape,
        "latent_size": model.latent_size,
        "num_parameters": sum(model.weight_sizes),
        "description": model.description.model_dump(mode="json"),
        "settings": settings,
        "metrics": metrics,
        "signatures": {
            name: {
                "inputs": _specs(signature.structured_input_signature[1]),
                "outputs": _specs(signature.structured_outputs),
            }
            for name, signature in sorted(model.signatures.items())
        },
    }
    strict = json.loads(json.dumps(values), parse_constant=lambda name: None)
    return json.dumps(strict, indent=2)


def _described(description: "Description") -> dict[str, Any]:
    """The lines of `info` that say which family of model a run is."""
    names = ("model", "posterior", "prior", "likelihood", "log_likelihood", "kl", "contract")
    found = {name.replace("_", " "): getattr(description, name) for name in names}
    if description.has_codes:
        found["codes"] = f"of {description.codebook_size} in each codebook"
    if description.level_sizes:
        each = ", ".join(f"{count} at {level}" for level, count in description.level_sizes.items())
        found["latents of levels, from the top"] = each
    return found


def _written(tensors: dict[str, Any]) -> str:
    """For example: latent float32 [None, 16], seed int32 [2]."""
    parts = (f"{name} {spec.dtype.name} {spec.shape}" for name, spec in sorted(tensors.items()))
    return ", ".join(parts)


def _specs(tensors: dict[str, Any]) -> dict[str, Any]:
    """The type and the shape of each tensor; an axis of any length is null."""
    return {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in sorted(tensors.items())
    }
