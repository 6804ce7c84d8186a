"""SIGINT and SIGTERM: the run ends after its step, with a checkpoint."""

import signal

from training.config import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, the first signal is noted in `number`; a second ends the process at once."""

    def __init__(self):
        self.number = None

    def __enter__(self):
        # SIGINT even where it was ignored: a script's `&` does so, and may still send it.
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.number = number
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    def check(self):
        """Raises `Interrupted` if a signal has come."""
        if self.number:
            self.end()

    def end(self):
        """Raises `Interrupted`; where the signal came to another worker, as SIGTERM would."""
        raise Interrupted(self.number or signal.SIGTERM)
