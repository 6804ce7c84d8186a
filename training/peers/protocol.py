"""The messages between a timed program and `training.benchmark`.

The program gets its settings, a JSON object, as its one argument. Once it is warm it writes one
JSON line, `{"ready": versions}`, or `{"absent": reason}`. For each line it then reads it trains for
`steps` steps that are not timed and `steps` that are, and answers the seconds and its peak memory.
"""

import json
import os
import sys
import time
from types import SimpleNamespace


class Absent(Exception):  # noqa: N818  (an answer, not an error)
    """The program cannot do what the settings ask for."""


class Clock:
    """Called after every `settings.steps` steps of training; returns when the next may start."""

    def __init__(self, versions, answers):
        self.versions, self.answers = versions, answers
        self.calls, self.start = 0, None

    def __call__(self):
        self.calls += 1
        if self.calls == 1:
            self._answer(ready=self.versions)  # compiled, and run once
        elif self.calls % 2:
            seconds = time.perf_counter() - self.start
            self._answer(seconds=seconds, peak_bytes=_peak_bytes())
        else:
            # The steps after a pause are not timed: caches are cold, queues of batches full.
            self.start = time.perf_counter()
            return
        if not sys.stdin.readline():
            os._exit(0)  # from inside an endless `fit`

    def _answer(self, **answer):
        self.answers.write(json.dumps(answer) + "\n")


def serve(build, families=("",)):
    """Trains as the parent asks, until it closes the pipe.

    Args:
      build: settings -> (versions, train), where `train(clock)` trains without end and calls
        `clock()` after every `settings.steps` steps.
      families: those of `families.py` that the program has.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to stderr
    settings = SimpleNamespace(**json.loads(sys.argv[1]))
    try:
        if settings.family not in families:
            raise Absent(f"has no {settings.family}")
        import numpy as np  # may be missing in this environment too

        images = np.load(settings.images, allow_pickle=False)  # uint8 [N, H, W, C]
        settings.images = images[: settings.count]
        versions, train = build(settings)
    except (Absent, ImportError) as reason:
        answers.write(json.dumps({"absent": " ".join(str(reason).split())}) + "\n")
        return
    train(Clock(versions, answers))


def _peak_bytes():
    """The most memory this process has held. Linux hands `ru_maxrss` down from the parent."""
    try:
        with open("/proc/self/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource  # not on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
