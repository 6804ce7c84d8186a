"""Validators of settings beyond what types say."""

import re
from collections.abc import Callable
from typing import Any

from cyclopts import Parameter
from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WrapValidator

from tfp_vae.images.colours import colour


def _auto_or(value: Any, checked: Callable[[Any], int]) -> Any:
    return value if value == "auto" else checked(value)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _one_or_several(sizes: tuple[int, ...]) -> Any:
    """One number as a number: the latents of one vector."""
    if not sizes:
        raise ValueError("expected at least one number")
    return sizes[0] if len(sizes) == 1 else sizes


# One number, or one for each level of a hierarchy; a flag's values come as a tuple.
ONE_OR_SEVERAL = (
    Parameter(consume_multiple=True),
    BeforeValidator(_as_tuple),
    AfterValidator(_one_or_several),
    PlainSerializer(lambda value: value),
)

# Lets "auto" pass where a number is expected; a union of types would name them in its errors.
OR_AUTO = (WrapValidator(_auto_or), PlainSerializer(lambda value: value))


def path(text: str) -> str:
    """Refuses a text that cannot name a file, or that `config.json` could not hold."""
    try:
        name = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("expected a path in UTF-8") from error
    fits = len(name) < 4096 and max(map(len, name.split(b"/"))) <= 255
    if not text.strip() or b"\0" in name or not fits:
        raise ValueError("expected a path")
    return text


def colour_name(text: str) -> str:
    """Refuses a text that names no colour."""
    colour(text)
    return text


def plain_name(text: str) -> str:
    """Refuses a text that cannot name a run's folder, or that names an unfinished version."""
    if text.endswith(".incomplete"):
        raise ValueError("expected no .incomplete at the end")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise ValueError(
            "expected at most 100 letters, digits, '.', '_' and '-', a letter or digit first"
        )
    return text
