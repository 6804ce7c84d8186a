"""Runs of the command that a signal ends, and what comes of continuing them."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import filelock
import pytest
from helpers import runs
from helpers.commands import PATIENCE, in_process, trained, wait_for, wait_until
from helpers.runs import assert_same_end

from training.data import splits as data

SMALL = ["--hidden-units", 8, "--latent-size", 2, "--kl", "monte_carlo", "--kl-warmup-epochs", 30]
EPOCHS = 40  # of a run that is killed
KILLED = [*SMALL, "--epochs", EPOCHS, "--jit-compile", "auto"]
# Seed of the moment: the file that it comes after, and by how many seconds at most.
KILLS = {1: ("logs/train/*", 0.2), 2: ("checkpoints/*.index", 0.5)}


def start(output, *argv, epochs=100_000, environment):
    """The command in another process; with so many epochs it lasts for hours."""
    return runs.start(output, *SMALL, "--epochs", epochs, *argv, environment=environment)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    assert trained("--output-dir", output, *KILLED) == 0
    return output / "digits" / "1"


@pytest.mark.parametrize("seed", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_run_ends_as_one_that_was_never_stopped(
    seed, never_stopped, tmp_path, clean_environment
):
    unfinished = tmp_path / "digits" / "1.incomplete"
    process = runs.start(tmp_path, *KILLED, environment=clean_environment)
    pattern, seconds = KILLS[seed]
    wait_for(process, pattern, unfinished)
    time.sleep(random.Random(seed).uniform(0, seconds))
    process.kill()
    process.communicate()
    reached = sorted(path.name for path in unfinished.glob("checkpoints/*.index"))
    assert not unfinished.with_suffix("").exists(), f"seed {seed}: over before the signal"

    assert trained("--output-dir", tmp_path, *KILLED, "--resume") == 0, (seed, reached)
    finished = unfinished.with_suffix("")
    names = ("history.csv", "metrics.json", "README.md")
    assert_same_end(finished, never_stopped, *names, of=f"seed {seed}, {reached}")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, clean_environment):
    """A run that SIGTERM ended, what came of another of its name meanwhile, and its stderr."""
    output = tmp_path_factory.mktemp("stopped")
    process = start(output, environment=clean_environment)
    wait_for(process, "checkpoints/*.index", output / "digits" / "1.incomplete")
    held = [sys.executable, "-m", "training.fit", "--output-dir", str(output)]
    other = subprocess.run(held, capture_output=True, text=True, env=clean_environment)
    before = sorted(path.name for path in (output / "digits").iterdir())
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=PATIENCE)[1]
    return output, (process.returncode, error), other, before


def test_of_two_runs_of_one_name_at_once_the_second_is_refused(stopped):
    output, _, other, before = stopped
    assert (other.returncode, other.stdout) == (2, "")
    message = f"--name digits: another process is training in {output / 'digits'}: "
    assert other.stderr.startswith(message) and other.stderr.count("\n") == 1
    assert before == [".lock", "1.incomplete"]


def how_to_continue(path):
    return f"interrupted: continue {path} with the same flags and --resume\n"


def test_sigterm_leaves_a_checkpoint_and_one_line(stopped):
    output, (status, error), _, _ = stopped
    path = output / "digits" / "1.incomplete"
    assert (status, error) == (128 + signal.SIGTERM, how_to_continue(path))
    assert any(path.glob("checkpoints/*.index"))
    assert json.loads((path / "config.json").read_text())["latent_size"] == 2


def test_sigint_too_and_the_lock_of_what_has_ended_is_free(stopped, clean_environment):
    output = stopped[0]
    path = output / "digits" / "1.incomplete"
    before = set(path.glob("checkpoints/*.index"))
    process = start(output, "--resume", environment=clean_environment)
    wait_until(process, lambda: not before & set(path.glob("checkpoints/*.index")))
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=PATIENCE)[1]
    assert (process.returncode, error) == (128 + signal.SIGINT, how_to_continue(path))
    assert any(path.glob("checkpoints/*.index"))


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(second):
    code = (
        "import os, signal; from training.run.interrupts import Interrupts\n"
        "with Interrupts() as interrupts:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    assert interrupts.number == signal.SIGINT\n"
        f"    os.kill(os.getpid(), {int(second)})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (-second, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_training_leaves_no_traceback(number, tmp_path):
    code = (
        "import os, signal; from tfp_vae.cli.app import run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell set\n"
        f"raise SystemExit(run(lambda: os.kill(os.getpid(), {int(number)}), 'x', []))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode in (128 + number, -number)
    assert result.stderr.count("\n") <= 1 and "Traceback" not in result.stderr


def test_a_signal_that_the_shell_ignored_ends_the_run_too():
    code = (
        "import os, signal; from training.run.interrupts import Interrupts\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script does for a job with &\n"
        "with Interrupts() as interrupts:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    assert interrupts.number == signal.SIGINT\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_version_that_appears_while_the_data_is_read_is_not_written_over(tmp_path, capsys):
    def another_run(config):
        (tmp_path / "digits" / "1").mkdir(parents=True)
        return load(config)

    load = data.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", another_run)
        assert in_process("--output-dir", tmp_path, *SMALL, "--epochs", 1) == 2
    assert "digits/1 has appeared: expected no such run" in capsys.readouterr().err
    assert os.listdir(tmp_path / "digits" / "1") == []


def test_settings_that_differ_are_named_and_nothing_is_changed(stopped, capsys):
    output = stopped[0]
    folder = output / "digits"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    argv = ["--output-dir", output, *SMALL[2:], "--resume"]
    changed = ["--epochs", 3, "--hidden-units", 9, 8, "--learning-rate", 0.5, "--seed", 4]
    assert in_process(*argv, *changed) == 2
    error = capsys.readouterr().err
    assert error.startswith("--resume: ") and error.count("\n") == 1
    for words in ("--hidden-units 9 8", "--epochs 3", "--learning-rate 0.5", "--seed 4"):
        assert words in error
    was = error.partition("was started with ")[2]
    assert was.startswith("8, 100000, 0.001, 0: "), error
    for name in ("--beta", "--kl", "--latent-size", "--output-dir", "--resume false"):
        assert name not in error
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_more_epochs_may_be_asked_for(tmp_path, capsys):
    argv = ["--output-dir", tmp_path, *SMALL, "--epochs"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.folder.Run.publish", lambda run: None)
        assert in_process(*argv, 2) == 0
    assert in_process(*argv, 1, "--resume") == 2
    assert "--epochs 1" in capsys.readouterr().err
    assert in_process(*argv, 4, "--resume") == 0
    folder = tmp_path / "digits" / "1"
    rows = (folder / "history.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]
    assert json.loads((folder / "config.json").read_text())["epochs"] == 4


def test_a_lock_is_free_after_sigkill(tmp_path, clean_environment):
    process = start(tmp_path, environment=clean_environment)
    wait_for(process, "checkpoints", tmp_path / "digits" / "1.incomplete")
    lock = filelock.FileLock(tmp_path / "digits" / ".lock", blocking=False)
    with pytest.raises(filelock.Timeout):
        lock.acquire()
    process.kill()
    process.communicate()
    lock.acquire()
    lock.release()


def test_the_lock_does_not_outlive_its_process(tmp_path):
    """A file that is there, locked by nobody: as of a machine that lost its power."""
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / ".lock").touch()
    assert in_process("--output-dir", tmp_path, *SMALL, "--epochs", 1) == 0
    assert os.listdir(tmp_path / "digits" / "1")
