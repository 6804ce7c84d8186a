"""A run of the command in another process, and the arrays that it ends with."""

import subprocess
import sys
import zipfile

import h5py
import numpy as np


def start(output, *argv, environment):
    """The command in another process."""
    argv = ["--output-dir", output, *argv]
    return subprocess.Popen(
        [sys.executable, "-m", "training.fit", *map(str, argv)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


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
