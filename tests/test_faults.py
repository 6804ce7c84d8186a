"""Failures of disk, files and memory: one line, exit code 1, and the checkpoints stay."""

import functools
import resource
import shutil

import numpy as np
import pytest
from helpers.commands import command, in_process, trained
from PIL import Image

from tfp_vae import callbacks
from training.data import split
from training.run import checkpoints

SMALL = ["--hidden-units", 8, "--latent-size", 2]


def limited(size):
    """Makes every write beyond a file's first `size` bytes fail, as a full disk's do."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    ("size", "saved"),
    [
        pytest.param(5_000, False, id="at once"),
        pytest.param(150_000, True, id="at the export", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk(size, saved, tmp_path, clean_environment):
    result = command(
        *("--output-dir", tmp_path, "--epochs", 2, *SMALL),
        env=clean_environment,
        preexec_fn=functools.partial(limited, size),
    )
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    path = tmp_path / "digits" / "1.incomplete"
    assert result.stderr.startswith("training stopped: "), result.stderr
    assert f"continue {path} with the same flags and --resume" in result.stderr
    assert not path.with_suffix("").exists()
    if saved:
        options = ("--output-dir", tmp_path, "--epochs", 2, *SMALL)
        assert trained(*options, "--resume") == 0
        assert path.with_suffix("").is_dir()


def at_the_end_of_epoch(number, action, monkeypatch):
    """Has something happen to a run between two epochs."""
    guard = callbacks.StopOnNonFinite.on_epoch_end

    def happening(self, epoch, logs=None):
        guard(self, epoch, logs)
        if epoch == number:
            action()

    monkeypatch.setattr(callbacks.StopOnNonFinite, "on_epoch_end", happening)
    monkeypatch.setattr(checkpoints, "MAX_SAVE_FRACTION", float("inf"))  # save after each epoch


@pytest.mark.parametrize("gone", ["", "digits/1.incomplete"])
def test_the_output_folder_is_removed(gone, tmp_path, monkeypatch, capfd):
    output = tmp_path / "runs"
    at_the_end_of_epoch(1, lambda: shutil.rmtree(output / gone), monkeypatch)
    assert in_process("--output-dir", output, "--epochs", 3, *SMALL) == 1
    error = capfd.readouterr().err
    assert error.startswith("training stopped: ") and error.count("\n") == 1, error
    path = output / "digits" / "1.incomplete"  # again: its pictures have been drawn since
    assert error.endswith(f"; {path} has lost its checkpoints: discard it with --restart\n")
    assert not path.with_suffix("").exists() and not (path / "checkpoints").exists()


def photos(folder):
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(40):
        pixels = random.integers(0, 256, (12, 12)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02}.png")


def vanish(folder):
    for path in folder.iterdir():
        path.unlink()


def corrupt(folder):
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize("damage", [vanish, pytest.param(corrupt, marks=pytest.mark.slow)])
def test_files_that_are_read_as_it_trains(damage, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "photos"
    photos(folder)
    monkeypatch.setattr(split, "IN_MEMORY_BYTES", 0)
    with monkeypatch.context() as patch:
        at_the_end_of_epoch(1, lambda: damage(folder), patch)
        argv = ["--dataset", folder, "--output-dir", tmp_path / "runs", "--batch-size", 4, *SMALL]
        assert in_process(*argv, "--epochs", 4) == 1
    error = capfd.readouterr().err
    assert error.startswith("training stopped: ") and error.count("\n") == 1, error
    assert error.startswith(f"training stopped: ImageError: {folder}") and ".png" in error
    assert error.endswith(", or leave damaged files out with --restart --skip-damaged\n")
    path = tmp_path / "runs" / "photos" / "1.incomplete"
    assert f"continue {path} with the same flags and --resume" in error
    assert not path.with_suffix("").exists()
    shutil.rmtree(folder)
    photos(folder)
    assert in_process(*argv, "--epochs", 4, "--resume") == 0
    rows = (path.with_suffix("") / "history.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]


def test_more_memory_than_there_is(tmp_path, capfd):
    argv = ["--output-dir", tmp_path / "runs", "--hidden-units", 2_000_000_000, 2_000_000_000]
    assert in_process(*argv) == 1
    error = capfd.readouterr().err
    assert error.startswith("training stopped: ") and error.count("\n") == 1, error
    assert not list(tmp_path.iterdir())
