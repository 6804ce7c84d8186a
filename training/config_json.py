"""The settings in a run's `config.json`, which anyone may have written. Imports no TensorFlow."""

import json
import math
import types
import typing
from pathlib import Path

from training.config import Config, InputError

MAX_BYTES = 1_000_000  # Config's own file has two thousand
VERSIONS = "versions"  # of the packages a run was made with: texts, and no setting


def read(path):
    """The `Config` in a file; a setting that the file does not have has its default.

    Raises:
      InputError: a file that cannot be read, is no strict JSON, or has a setting that is unknown,
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


def parse(text):
    """The `Config` in strict JSON, text or UTF-8 bytes.

    Raises:
      InputError: as `read`; the message does not name the file.
    """
    if len(text) > MAX_BYTES:
        raise InputError(f"more than {MAX_BYTES} bytes: expected the settings of a run")
    try:
        values = json.loads(
            text, object_pairs_hook=_once, parse_constant=_constant, parse_float=_finite
        )
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # Python's numbers have at most 4300 digits
        raise InputError(f"not JSON ({error})") from error
    if not isinstance(values, dict):
        raise InputError("expected an object of settings")
    versions = values.pop(VERSIONS, {})
    if not _is(versions, dict[str, str]):
        raise InputError(f"{VERSIONS}: expected names and texts")
    hints = typing.get_type_hints(Config)
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"{_shown(name)}: expected one of {', '.join(hints)}")
        if not _is(value, hints[name]):
            raise InputError(f"{name} {_shown(value)}: expected {_written(hints[name])}")
    return Config(**{name: _plain(value, hints[name]) for name, value in values.items()})


def _once(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{_shown(twice)}: given twice")
    return values


def _constant(name):
    raise InputError(f"{name}: expected a finite number")


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise InputError(f"{_shown(text)}: expected a finite number")
    return number


def _is(value, hint):
    """Whether a value that JSON can express is what a field's type says, without conversion."""
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in (types.UnionType, typing.Union):
        return any(_is(value, part) for part in parts)
    if kind is typing.Literal:
        return isinstance(value, str) and value in parts
    if kind is tuple:
        return isinstance(value, list) and all(_is(item, parts[0]) for item in value)
    if kind is dict:
        return isinstance(value, dict) and all(_is(item, parts[1]) for item in value.values())
    if kind is float:  # 1 and 1.0 are one number in JSON; Python's bool is an int, JSON's is not
        return type(value) is float or (type(value) is int and abs(value) < 2**1023)
    return value is None if kind is types.NoneType else type(value) is kind


def _plain(value, hint):
    if isinstance(value, list):
        return tuple(value)
    return float(value) if type(value) is int and _is(1.5, hint) else value


def _written(hint):
    kind, parts = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in (types.UnionType, typing.Union):
        return " or ".join(_written(part) for part in parts)
    if kind is typing.Literal:
        return ", ".join(parts)
    if kind is tuple:
        return f"a list of {_written(parts[0])}s"
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    return names.get(kind, "null")


def _shown(value):
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= 60 else f"{text[:60]}..."
