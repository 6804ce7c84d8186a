"""Registries of a model's parts, readable without TensorFlow: a part is imported when used."""

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import pydantic

from tfp_vae.errors import InputError


@dataclasses.dataclass(frozen=True)
class Option:
    """A setting of one or several parts: a keyword of `build_vae` and a flag of `training.fit`.

    Args:
      type: what pydantic checks values against, such as `Annotated[int, Ge(1)]`.
      default: the value where none is given.
      help: one sentence for `--help`.
      auto: whether `training.fit` chooses the value by the images, unless one is given.
    """

    type: Any
    default: Any
    help: str
    auto: bool = False

    def checked(self, name: str, value: Any) -> Any:
        """`value`, converted to `type`.

        Raises:
          InputError: a value that `type` does not accept.
        """
        try:
            return pydantic.TypeAdapter(self.type).validate_python(value)
        except pydantic.ValidationError as error:
            raise InputError(f"{name} {value!r}: {expected(error.errors())}") from error


def expected(errors: list[Any]) -> str:
    """The constraints that pydantic found violated, in one line."""
    found = (error["msg"].removeprefix("Value error, ") for error in errors)
    return ", or ".join(dict.fromkeys(message[:1].lower() + message[1:] for message in found))


@dataclasses.dataclass(frozen=True)
class Part:
    """One choice: where it is defined, as "package.module:name", and its options by name."""

    path: str
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)

    def load(self) -> Any:
        """The class or function at `path`, imported now."""
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(module), name)

    def classes(self) -> tuple[Any, ...]:
        """The classes that the part makes: `load()`, or those that this function returns."""
        part = self.load()
        return (part,) if isinstance(part, type) else get_args(get_type_hints(part)["return"])


class Registry(Mapping[str, Part]):
    """The parts of one kind by name; the first is the default.

    Args:
      kind: what the parts are, for example "prior": also the name of the flag.
      help: one sentence for `--help`.
      parts: name -> `Part`. Parts that share an option share the `Option` object.
      auto: whether `training.fit` chooses the part by the images, unless one is named.
    """

    def __init__(self, kind: str, help: str, parts: Mapping[str, Part], auto: bool = False) -> None:
        self.kind = kind
        self.help = help
        self.auto = auto
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def default(self) -> str:
        """The name of the default part."""
        return next(iter(self._parts))

    @property
    def options(self) -> dict[str, Option]:
        """Every option of any part of this kind, by name."""
        return {
            key: option for part in self._parts.values() for key, option in part.options.items()
        }

    def arguments(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The constructor arguments of the part `name`: its options as given, or their defaults.

        An option that starts with the kind loses it: `likelihood_scale` becomes `scale`.

        Args:
          name: of the part.
          given: options of this kind; one that equals its default counts as not given.

        Raises:
          InputError: an unknown name, a value that is not accepted, or an option of another part.
        """
        if name not in self:
            raise InputError(f"{self.kind} {name!r}: expected one of {', '.join(self)}")
        own = self[name].options
        for key, value in given.items():
            option = self.options[key]
            if key not in own and value != option.default:
                parts = ", ".join(part for part in self if key in self[part].options)
                raise InputError(
                    f"{key} {_written(value)}: only for {self.kind} {parts}, not {name}"
                )
        values = {
            key: option.checked(key, given.get(key, option.default)) for key, option in own.items()
        }
        return {key.removeprefix(f"{self.kind}_"): value for key, value in values.items()}


def _written(value: Any) -> str:
    """A value as a flag's arguments: "200 200" for a tuple."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
