"""Errors whose message is one line for the user. Imports no TensorFlow."""

import re

# The lines and prefixes that TensorFlow puts before the cause of an error in a graph.
_GRAPH_LOCATION = re.compile(
    r"Graph execution error:|Detected at node .*|<stack traces unavailable>|File \".*"
    r"|\d+ root error\(s\) found\.|\(\d+\) [A-Z_]+: *"
    r"|Error in user-defined function passed to .*?: (?=\w+Error: )"
)


class InputError(ValueError):
    """Bad input; the message is one line that names it and says what is accepted."""


class ImageError(InputError):
    """An image or array that cannot be used; the message is one line that names it."""


class CommandError(Exception):
    """Ends a command: the message is one line for stderr, `status` is the exit code."""

    status = 1


class Interrupted(CommandError):  # noqa: N818  (the user asked for it: not an error)
    """The signal `number` ended the command; the exit code is 128 + `number`, as in a shell."""

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = int(number)
        self.status = 128 + self.number


def reason(error: BaseException) -> str:
    """The cause of an error in one line, without the graph locations that TensorFlow adds."""
    text = re.sub(r"\{\{.*?\}\} *| *\[Op:.*?\]", "", str(error))
    lines = (_GRAPH_LOCATION.sub("", line.strip(), count=1) for line in text.splitlines())
    return next(filter(None, lines), type(error).__name__)
