"""A run's `config.json`, which anyone may have written. Imports no TensorFlow."""

import json
from pathlib import Path
from typing import Any

import pydantic

from tfp_vae.cli.app import shown, validation_line
from tfp_vae.errors import InputError
from training.config import Config

MAX_BYTES = 1_000_000  # a file that `training.fit` writes has about two thousand


class DataSet(pydantic.BaseModel):
    """What identifies the images of a run."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    """A hash of the images."""

    splits: dict[str, tuple[int, int, int, int]]
    """[count, H, W, C] of each split."""

    def difference(self, now: "DataSet") -> str | None:
        """How another data set differs from this one, in words; None where it is the same."""
        for name, shape in self.splits.items():
            if now.splits.get(name) != shape:
                return f"{name} had {_written(shape)}, has {_written(now.splits.get(name))}"
        return None if now == self else "as many images as before, with other content"


class SavedConfig(Config):
    """What the file holds: the settings, and what the run was made with."""

    versions: dict[str, str] = pydantic.Field(default_factory=dict)
    """Of Python packages, by name."""

    data: DataSet | None = None
    """None in a run of version 0.1.0."""

    def difference(self, now: DataSet) -> str | None:
        """How the images of now differ from those of the run; None where it names none."""
        return self.data and self.data.difference(now)


def _written(shape: tuple[int, ...] | None) -> str:
    if shape is None:
        return "none"
    count, *sides = shape
    return f"{count} images of {'x'.join(map(str, sides))}"


def read(path: str | Path) -> SavedConfig:
    """The content of a file; a setting that the file does not have has its default.

    Raises:
      InputError: a file that cannot be read, is not strict JSON, or has a setting that is unknown,
        given twice, or not what its flag accepts.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            raise InputError("expected a file")
        with open(path, "rb") as file:
            text = file.read(MAX_BYTES + 1)
        return parse(text)
    except (OSError, InputError) as error:
        raise InputError(f"{path}: {error}") from error


def parse(text: str | bytes) -> SavedConfig:
    """The content of strict JSON, as text or UTF-8 bytes.

    Raises:
      InputError: as `read`; the message does not name the file.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES} bytes: expected the settings of a run")
    try:
        json.loads(text, object_pairs_hook=_refuse_duplicates)
        return SavedConfig.model_validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise InputError(_line(error)) from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # Python's numbers have at most 4300 digits
        raise InputError(f"not JSON ({error})") from error


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{shown(twice)}: given twice: expected it once")
    return values


def _line(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        names = ", ".join(SavedConfig.model_fields)
        return f"{shown(first['loc'][0])}: expected one of {names}"
    return validation_line(error, shown)
