"""How a command ends: its exit code, its one line, and standard streams that are closed."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import command, says_equal

from tfp_vae.cli.app import one_line, run
from tfp_vae.errors import CommandError, InputError
from training.errors import Interrupted, TrainingError

SMALL = ["--epochs", 1, "--hidden-units", 8, "--latent-size", 2, "--output-dir"]
RUN = Path(__file__).parent / "golden" / "run-0.1.0"
FIT = [sys.executable, "-m", "training.fit"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError("a: expected b"), 2),
        (CommandError("failed"), 1),
        (TrainingError("training\nstopped"), 1),
        (Interrupted(signal.SIGTERM, "stopped"), 143),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(error, status, capsys):
    def failing():
        raise error

    assert run(failing, "x", []) == status
    captured = capsys.readouterr()
    assert captured == ("", " ".join(str(error).split()) + "\n")


def test_what_a_terminal_would_obey_is_escaped(capsys):
    def failing():
        raise InputError("\x1b[2J\udcff é")

    assert run(failing, "x", []) == 2
    assert capsys.readouterr().err == "\\x1b[2J\\udcff é\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_an_encoding_lacks_is_escaped(name, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(written, encoding="ascii", errors="strict"))
    assert run(lambda: print("é.png", file=getattr(sys, name)), "x", []) == 0
    assert written.getvalue() == b"\\xe9.png\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("my  photos", "my  photos"),
        (" a\n  b\tc ", "a b c"),
        ("a\r\nb\u2028c\xa0d", "a b c d"),
    ],
)
def test_a_line_keeps_the_spaces_of_a_name(text, line):
    assert one_line(text) == line


def test_other_exceptions_pass():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0, "x", [])


@pytest.mark.parametrize(
    "descriptors",
    [*(pytest.param([number], marks=pytest.mark.slow) for number in range(3)), [0, 1, 2]],
    ids=str,
)
def test_a_run_with_closed_standard_streams(descriptors, tmp_path, clean_environment):
    def close():
        for descriptor in descriptors:
            os.close(descriptor)

    result = command(*SMALL, tmp_path, env=clean_environment, preexec_fn=close)
    assert (result.returncode, result.stderr) == (0, "")
    folder = tmp_path / "digits" / "1"
    assert (folder / "saved_model.pb").is_file() and (folder / "model.keras").is_file()
    for path in folder.rglob("*"):  # nothing printed has gone into a file of the run
        assert not path.is_file() or b"test ELBO" not in path.read_bytes(), path


@pytest.mark.parametrize("descriptor", [1, 2])
def test_bad_input_with_a_closed_stream(descriptor, clean_environment):
    result = command("--epochs", 0, env=clean_environment, preexec_fn=lambda: os.close(descriptor))
    line = "--epochs 0: input should be greater than or equal to 1\n"
    assert (result.returncode, result.stderr) == (2, "" if descriptor == 2 else line)


def test_a_pipe_that_is_closed_leaves_no_traceback(tmp_path, clean_environment):
    for flags in (["--help"], [*SMALL, tmp_path]):
        argv = [*FIT, *map(str, flags)]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment
        )
        process.stdout.close()
        error = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait() in (1, 141), error
        assert "Traceback" not in error and "Exception" not in error
        assert error.count("\n") <= 1


def test_a_command_does_not_import_keras_3(clean_environment):
    """TensorFlow does by itself, and with it Matplotlib and scikit-learn, which takes seconds."""
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['tfp_vae', 'info', {str(RUN)!r}]\n"
        "try:\n    runpy.run_module('tfp_vae', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "assert 'tensorflow' in sys.modules and 'keras' not in sys.modules\n"
        "print('equal')"
    )
    says_equal(code, clean_environment)
