"""What is wrong with what the user gave. Imports no TensorFlow."""

import re

# What TensorFlow writes before what happened in a graph.
_PLACE = re.compile(
    r"Graph execution error:|Detected at node .*|<stack traces unavailable>|File \".*"
    r"|\d+ root error\(s\) found\.|\(\d+\) [A-Z_]+: *"
)


class InputError(ValueError):
    """Bad input; the message is one line that names it and says what is accepted."""


class ImageError(InputError):
    """An image or array that cannot be used; the message is one line that names it."""


def reason(error):
    """What an error says, in one line, without the places in a graph that TensorFlow adds."""
    text = re.sub(r"\{\{.*?\}\} *| *\[Op:.*?\]", "", str(error))
    lines = (_PLACE.sub("", line.strip(), count=1) for line in text.splitlines())
    return next(filter(None, lines), type(error).__name__)
