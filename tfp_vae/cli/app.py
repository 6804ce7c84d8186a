"""Runs a command: bad input, failures and signals become one line and an exit code.

Every command of the project runs here: `python -m tfp_vae`, `training.fit`, `training.evaluate`
and `training.benchmark`. Imports no TensorFlow.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cyclopts
import pydantic

from tfp_vae.errors import CommandError, InputError
from tfp_vae.parts import expected

BAD_INPUT = 2
BROKEN_PIPE = 128 + 13  # as a shell reports SIGPIPE


def run(
    command: cyclopts.App | Callable[..., None], name: str, argv: Sequence[str] | None = None
) -> int:
    """Runs a command and returns its exit code.

    Args:
      command: a `cyclopts.App`, or a function whose parameters are the flags.
      name: of the module, for the usage line: `python -m NAME`.
      argv: the arguments; by default those of the process.

    Returns:
      0; 2 after bad input; the `status` of a `CommandError`; 141 where stdout was a closed pipe;
      1 after another I/O error. All but the closed pipe print one line on stderr.
    """
    open_standard_streams()
    if argv is None:  # the process is this command alone
        # Without it TensorFlow imports Keras 3, which nothing here uses, and with that scikit-learn
        # and Matplotlib: a sixth of the start. A library leaves `tf.keras` as the user has it.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    app = command if isinstance(command, cyclopts.App) else _app(command, name)
    try:
        app(argv, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (cyclopts.CycloptsError, pydantic.ValidationError, InputError) as error:
        return _report(_message(error), BAD_INPUT)
    except CommandError as error:
        return _report(str(error), error.status)
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:  # a full disk, a file that cannot be read
        return _report(str(error), 1)
    except MemoryError as error:
        return _report(f"not enough memory: {error}", 1)
    finally:
        _drop_unwritable_output()
    return 0


def open_standard_streams() -> None:
    """Opens the null device in place of a standard stream that the caller has closed (`>&-`).

    Otherwise the next file that the process opens would become its stdout or stderr. What the
    encoding of stdout or stderr lacks, such as the é of a file's name in ASCII, is escaped.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest free descriptor: this one, as the lower ones are open.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream that a program has put in its place may not
            stream.reconfigure(errors="backslashreplace")


def one_line(text: str) -> str:
    """`text` in one line, with the characters escaped that control a terminal.

    White space with a line break, or another one than spaces, becomes one space: a name keeps its
    spaces.
    """
    line = re.sub(r"\s*[^\S ]\s*", " ", text.strip())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def validation_line(error: pydantic.ValidationError, written: Callable[[str], str] = str) -> str:
    """The first invalid setting of a `ValidationError`: its name, its value, what is accepted.

    Args:
      error: of a pydantic model. The message of a model's own validator, which concerns several
        settings, begins with the name of one of them.
      written: how to write the name of a setting, such as `flag`.
    """
    errors = error.errors(include_url=False)
    if not errors[0]["loc"]:
        return with_name(errors[0]["msg"].removeprefix("Value error, "), written)
    name = errors[0]["loc"][0]
    same = [each for each in errors if each["loc"][0] == name]
    return f"{written(str(name))} {shown(same[0]['input'])}: {expected(same)}"


def with_name(message: str, written: Callable[[str], str]) -> str:
    """A message that begins with the name of a setting, with that name as `written` writes it."""
    return re.sub(r"^[a-z]\w*(?= )", lambda match: written(match[0]), message)


def flag(name: str) -> str:
    """`latent_size` as `--latent-size`."""
    return f"--{name.replace('_', '-')}"


def shown(value: Any) -> str:
    """A value for a message: in one line, cut after 60 characters."""
    text = one_line(str(value))
    return text if len(text) <= 60 else f"{text[:60]}..."


def _app(command: Callable[..., None], name: str) -> cyclopts.App:
    app = cyclopts.App(
        name=f"python -m {name}",
        version_flags=(),
        default_parameter=cyclopts.Parameter(negative=()),
    )
    app.default(command)
    return app


def _message(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error, cyclopts.ValidationError) else error
    if isinstance(cause, pydantic.ValidationError):
        return validation_line(cause, flag)
    return str(error)


def _report(message: str, status: int) -> int:
    with contextlib.suppress(OSError):  # there is nowhere else to say it
        print(one_line(message), file=sys.stderr, flush=True)
    return status


def _drop_unwritable_output() -> None:
    """Flushes stdout and stderr, or sends them to the null device: Python flushes at its exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
