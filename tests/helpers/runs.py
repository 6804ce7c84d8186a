"""A run of the command in another process, and whether two runs ended alike."""

import subprocess
import sys
import zipfile

import h5py
import numpy as np

from helpers.commands import command, flags


def start(output, *argv, environment):
    """The command in another process."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.fit", *flags("--output-dir", output, *argv)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(output, *argv, environment):
    """The folder of a run of the digits that has ended without a word on stderr, and its stdout."""
    result = command(*argv, "--output-dir", output, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    return output / "digits" / "1", result.stdout


def assert_same_end(found, whole, *names, of=""):
    """Asserts that two runs have the same arrays in `model.keras`, and the same files of `names`.

    Args:
      found: the folder of one run.
      whole: that of the other.
      *names: of files that are equal byte for byte.
      of: what a failure says beside the name.
    """
    arrays, expected = weights(found / "model.keras"), weights(whole / "model.keras")
    assert arrays.keys() == expected.keys() and any("optimizer" in name for name in arrays), of
    for name, value in expected.items():
        np.testing.assert_array_equal(arrays[name], value, f"{of} {name}")
    for name in names:
        assert (found / name).read_bytes() == (whole / name).read_bytes(), (of, name)


def weights(path):
    """Every array in a `.keras` file, the optimizer's too, by its path there."""
    arrays = {}
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as stored:
        h5py.File(stored, "r").visititems(
            lambda name, part: (
                arrays.update({name: np.array(part)}) if isinstance(part, h5py.Dataset) else None
            )
        )
    return arrays
