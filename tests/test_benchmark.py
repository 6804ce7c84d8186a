"""The benchmark's table and JSON, and its word on contenders that are absent; never its speed."""

import json
import subprocess
import sys

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "training.benchmark"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600)


def test_help_does_not_import_tensorflow():
    code = "import sys, training.benchmark; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    done = run("--help")
    assert done.returncode == 0 and "--growth" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dataset", "no_such_set"], "--dataset no_such_set"),
        (["--rounds", "0"], "--rounds 0"),
        (["--peer", "torch=no/such/python"], "--peer torch=no/such/python"),
        (["--out", "no/such/folder/a.json"], "no/such/folder/a.json"),
        (["--out", "."], "a folder: expected a file"),
        (["--case"], "--case []: expected at least one"),
        (["--case", "x"], "--case x: input should be 'dense-diagonal'"),
        (["--contender", "--case", "dense-full"], "--contender"),
    ],
)
def test_bad_input_is_one_line(arguments, named):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert named in done.stderr and len(done.stderr.splitlines()) == 1


def test_table_and_json(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    # An environment without PyTorch: this interpreter, told to look nowhere for packages.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    done = run(
        *("--dataset", str(tmp_path / "images.npy"), "--out", str(tmp_path / "out.json")),
        *("--case", "dense-diagonal", "--contender", "ours", "torch", "floor"),
        *("--peer", f"torch={bare}", "--batch-size", "16", "--steps", "2", "--rounds", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert "us/image" in done.stdout and "absent" in done.stdout
    case = json.loads((tmp_path / "out.json").read_text())["cases"]["dense-diagonal"]
    assert "No module named" in case["torch"]["absent"]
    for name in ("ours", "floor"):
        assert len(case[name]["microseconds_per_image"]) == 2
        assert min(case[name]["microseconds_per_image"]) > 0 and case[name]["peak_bytes"] > 2**20
