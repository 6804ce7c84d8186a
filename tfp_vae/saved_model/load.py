"""Reading a SavedModel: which version of a run, and whether it is whole and of this package."""

import json
import os
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfp_vae.errors import InputError, reason
from tfp_vae.saved_model import contract_1
from tfp_vae.saved_model.contract import DESCRIPTION, INPUTS, OUTPUTS_1, Description

GRAPH = "saved_model.pb"


class RunError(InputError):
    """A run that cannot be used; the message is one line that names its folder."""


def find(path: str | os.PathLike[str]) -> Path:
    """The folder of a SavedModel: `path` itself, or the newest finished version below it.

    Raises:
      RunError: no such folder, or nothing finished in it.
    """
    path = Path(path)
    try:
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise RunError(f"{path}: {error.strerror}: expected a run") from error
    if not path.is_dir():
        kind = "not a folder" if exists else "no such folder"
        raise RunError(f"{path}: {kind}: expected a run, such as saved_models/digits")
    if path.suffix == ".incomplete":
        raise RunError(f"{path}: an unfinished run: expected a version that training has finished")
    if (path / GRAPH).is_file():
        return path
    folders = [child for child in path.iterdir() if child.is_dir()]
    versions = [child for child in folders if child.name.isdecimal()]
    if versions:
        newest = max(versions, key=lambda version: int(version.name))
        if not (newest / GRAPH).is_file():
            raise RunError(f"{newest}: {GRAPH} is missing: expected a SavedModel")
        return newest
    unfinished = [child.name for child in folders if child.suffix == ".incomplete"]
    if unfinished:
        raise RunError(
            f"{path}: only the unfinished {', '.join(sorted(unfinished))}: "
            "expected a version that training has finished"
        )
    kind = "another kind of folder" if any(path.iterdir()) else "an empty folder"
    raise RunError(f"{path}: {kind}: expected {GRAPH}, or versions of a run: 1, 2, ...")


def open_model(folder: Path) -> tuple[Any, Description]:
    """The SavedModel in `folder`, whose signatures are those of `tfp_vae.export`.

    Returns:
      What TensorFlow loads, which owns the variables; and the model's description.

    Raises:
      RunError: files that are missing or damaged, or a SavedModel of something else.
    """
    variables = folder / "variables"
    for pattern in ("variables.index", "variables.data-*"):
        if not list(variables.glob(pattern)):
            raise RunError(f"{folder}: variables/{pattern} is missing: expected a whole SavedModel")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged file can fail anywhere in TensorFlow's reader
        raise RunError(f"{folder}: damaged: TensorFlow cannot load it ({reason(error)})") from error
    missing = [name for name in OUTPUTS_1 if name not in loaded.signatures]
    if missing:
        raise RunError(
            f"{folder}: no signature {', '.join(missing)}: expected a SavedModel of tfp_vae.export"
        )
    try:
        description = Description.read(folder)
    except ValueError as error:
        raise RunError(
            f"{folder / DESCRIPTION}: damaged: expected the description that tfp_vae.export writes"
        ) from error
    outputs = OUTPUTS_1 if description is None else description.outputs
    _check(folder, loaded.signatures, outputs)
    shape = loaded.signatures["decode"].structured_outputs["mean"].shape
    if None in shape[1:]:
        raise RunError(f"{folder}: images {shape}: expected a fixed height and width")
    if description is None:
        description = contract_1.describe(loaded.signatures, read_json(folder, "config.json"))
    return loaded, description


def _check(folder: Path, signatures: Any, expected: dict[str, tuple[str, ...]]) -> None:
    for name, outputs in expected.items():
        if name not in signatures:
            raise RunError(f"{folder}: no signature {name}: expected it, as {DESCRIPTION} says")
        signature = signatures[name]
        found = set(signature.structured_input_signature[1]), set(signature.structured_outputs)
        if found != (set(INPUTS[name]), set(outputs)):
            raise RunError(
                f"{folder}: signature {name} is {_written(*found)}: "
                f"expected {_written(set(INPUTS[name]), set(outputs))}, as tfp_vae.export writes it"
            )


def _written(inputs: set[str], outputs: set[str]) -> str:
    return f"({', '.join(sorted(inputs))}) -> {', '.join(sorted(outputs))}"


def fingerprint(folder: Path) -> str:
    """A text that differs between SavedModels of different graphs or weights.

    Raises:
      RunError: no `fingerprint.pb` that can be read.
    """
    try:
        return tf.saved_model.experimental.read_fingerprint(str(folder)).singleprint()
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise RunError(f"{folder}: fingerprint.pb is missing or damaged") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """The values of `config.json` or `metrics.json`, which a SavedModel alone does not have.

    Returns:
      A dict; empty where the file is missing.

    Raises:
      RunError: a file that cannot be read.
    """
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{folder / name}: damaged ({error})") from error
    if not isinstance(values, dict):
        raise RunError(f"{folder / name}: damaged: expected names and values")
    return values
