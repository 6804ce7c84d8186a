"""`python -m training.fit` as a process or in this one, and waiting for what it writes."""

import subprocess
import sys
import time

import pytest

from tfp_vae.cli.app import run
from training.fit import fit

PATIENCE = 300  # seconds


def flags(*argv):
    """The words of a command line, without XLA unless they name it: it compiles for seconds."""
    words = [str(word) for word in argv]
    return words if "--jit-compile" in words else [*words, "--jit-compile", "false"]


def command(*argv, **options):
    """Runs the command in another process, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "training.fit", *flags(*argv)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        **options,
    )


def says_equal(script, environment):
    """Runs a Python script that compares two ways, in a process of its own, to its end."""
    argv = [sys.executable, "-c", script]
    result = subprocess.run(argv, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stdout.split()[-1:]) == (0, ["equal"]), result.stderr


def trained(*argv):
    """The exit code of the command in another process, which leaves nothing in this one."""
    return command(*argv).returncode


def in_process(*argv):
    """The exit code of the command in this process, which need not import everything again."""
    return run(fit, "training.fit", flags(*argv))


def wait_for(process, pattern, folder):
    """Until a file of that pattern is in the folder of the run."""
    wait_until(process, lambda: any(folder.glob(pattern)))


def wait_until(process, holds):
    """Until `holds()`; the process does not outlive a failure."""
    until = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(f"exit {process.poll()}: {process.communicate()[1]}")
        time.sleep(0.02)
