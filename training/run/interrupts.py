"""SIGINT and SIGTERM: the run ends after its step, with a checkpoint."""

import signal
from typing import Any, NoReturn

from training.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, the first signal is noted in `number`; a second ends the process at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> "Interrupts":
        # Handle SIGINT even where it is ignored: a script starts its `&` jobs so.
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: Any) -> None:
        self.number = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    def check(self) -> None:
        """Raises `Interrupted` if a signal has come."""
        if self.number:
            self.end()

    def end(self) -> NoReturn:
        """Raises `Interrupted`; where another worker received the signal, with SIGTERM's number."""
        raise Interrupted(self.number or signal.SIGTERM)
