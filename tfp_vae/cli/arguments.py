"""The types of the commands' arguments, and checks of the files they write. No TensorFlow."""

import dataclasses
import math
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from tfp_vae.errors import InputError
from tfp_vae.images.colours import colour

ROW_AND_ARRAY = re.compile(r"(\.np[yz]):.*", re.IGNORECASE | re.DOTALL)  # after an array's file
MAX_NUMBER = 1e30  # in size, of latents, which are float32


def _integers(_: Any, tokens: Sequence[Any]) -> tuple[int, ...]:
    """Exact integers: by itself cyclopts rounds 3.5 to 4."""
    for token in tokens:
        if not re.fullmatch(r"[+-]?[0-9]+", token.value):
            raise ValueError(f'"{token.value}" is not an integer.')
    return tuple(int(token.value) for token in tokens)


def _integer(_: Any, tokens: Sequence[Any]) -> int:
    return _integers(_, tokens)[0]


def _colour(_: Any, value: str | None) -> None:
    if value is not None:
        colour(value)


def _finite(_: Any, value: Any) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if not math.isfinite(number):
            raise ValueError("Must be finite.")
        if abs(number) > MAX_NUMBER:
            raise ValueError(f"Must be from -{MAX_NUMBER:g} to {MAX_NUMBER:g}.")


Run = Annotated[
    Path, Parameter(help="A run, such as saved_models/digits (its newest version), or a version.")
]
Images = Annotated[
    list[str],
    Parameter(
        help="PNG or JPEG files, folders of them (searched recursively), or arrays: FILE.npy, "
        "FILE.npz, FILE.npz:ARRAY where it has several, tfds:NAME:SPLIT."
    ),
]
OneImage = Annotated[
    str,
    Parameter(
        help="A PNG or JPEG file, or FILE.npy:ROW, FILE.npz:ROW, FILE.npz:ARRAY:ROW, "
        "tfds:NAME:SPLIT:ROW."
    ),
]
ImageFlags = Annotated[tuple[str, ...], Parameter(consume_multiple=False)]
Integer = Annotated[int, Parameter(converter=_integer)]
Count = Annotated[int, Parameter(converter=_integer, validator=Number(gte=1, lt=2**31))]
Steps = Annotated[int, Parameter(converter=_integer, validator=Number(gte=2, lte=10_000))]
Seed = Annotated[int, Parameter(converter=_integer, validator=Number(gte=0, lt=2**31))]
Integers = Annotated[tuple[int, ...], Parameter(converter=_integers, consume_multiple=True)]
Numbers = Annotated[tuple[float, ...], Parameter(consume_multiple=True, validator=_finite)]
Range = Annotated[tuple[float, float], Parameter(validator=_finite)]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """How an image becomes one that the model takes; each field is a flag."""

    resize: Annotated[
        bool, Parameter(help="Crop and resize images of another size, and convert their channels.")
    ] = False
    background: Annotated[
        str | None,
        Parameter(
            help="What transparent images are composited on, such as white or #rrggbb; by "
            "default as in training, or black.",
            validator=_colour,
        ),
    ] = None


@dataclasses.dataclass(frozen=True)
class Reading(Conversion):
    """How many images are read; each field is a flag."""

    skip_damaged: Annotated[bool, Parameter(help="Go on without damaged image files.")] = False


# The fields as flags of a command, without a prefix.
ConversionFlags = Annotated[Conversion, Parameter(name="*")]
ReadingFlags = Annotated[Reading, Parameter(name="*")]


def output(
    out: Path, kinds: Sequence[str], given: str | None = None, *, reads: Sequence[str | Path] = ()
) -> tuple[Path, str]:
    """Which file to write, and as which of `kinds` ("png", "npz"): by its suffix, or as `given`.

    Args:
      out: the file that the command was given.
      kinds: what can be written.
      given: the kind, where a flag says it.
      reads: the sources of images, and the files, that the command reads.

    Returns:
      (path, kind); a path without that kind's suffix is given it.

    Raises:
      InputError: neither names a kind, they disagree, the file cannot be written, or it is one of
        those that are read, or of the images of a folder that is read.
    """
    if not out.name:
        raise InputError(f"{out}: a folder: expected a file to write")
    suffix = out.suffix.lower().removeprefix(".")
    kind = given or suffix
    if kind not in kinds:
        accepted = ", ".join(f".{kind}" for kind in kinds)
        raise InputError(f"{out}: expected a file that ends in {accepted}")
    if suffix != kind and suffix in kinds:
        raise InputError(f"--format {given}: {out}: expected a file that ends in .{given}")
    path = out if suffix == kind else out.with_name(f"{out.name}.{kind}")
    check_writable(path)
    for source in reads:
        file = ROW_AND_ARRAY.sub(r"\1", str(source))
        if path.exists() and _is_read(path, file):
            raise InputError(f"{path}: the command reads it: expected another file to write")
    return path, kind


def _is_read(path: Path, source: str) -> bool:
    """Whether a file is what a source names, or one of the images of that folder."""
    from tfp_vae.images import files  # which imports NumPy

    if os.path.isdir(source) and path.suffix.lower() in files.SUFFIXES:
        return path.resolve() in {each.resolve() for each in files.find_files(source)}
    return os.path.exists(source) and path.samefile(source)


def check_writable(out: Path) -> None:
    """Checks, before the computation, that a file can be written.

    Raises:
      InputError: it is a folder, or its own folder is missing or cannot be written.
    """
    try:
        if out.is_dir():
            raise InputError(f"{out}: a folder: expected a file to write")
        if not out.parent.is_dir():
            raise InputError(f"{out}: no folder {out.parent}: expected one that can be written")
        with tempfile.TemporaryFile(dir=out.parent):
            pass
        if out.exists():
            with open(out, "ab"):
                pass
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error


def check_folder(folder: Path) -> None:
    """Checks, before the computation, that a folder can be made, or written where it is there.

    Raises:
      InputError: it is a file; or it, or the folder it is to be made in, cannot be written.
    """
    is_folder = os.path.isdir(folder)
    if os.path.exists(folder) and not is_folder:
        raise InputError(f"{folder}: a file: expected a folder")
    check_writable(folder / ".new" if is_folder else folder)
