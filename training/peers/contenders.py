"""The programs that `training.benchmark` compares, as processes. Imports no TensorFlow."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training.errors import TrainingError

PEERS = Path(__file__).parent
ROOT = PEERS.parents[1]  # of the checkout, or where the packages are installed

# The file in this folder, its variant, and its label.
CONTENDERS = {
    "ours": ("ours.py", "", "tfp_vae"),
    "stock": ("ours.py", "stock", "tfp.layers tutorial"),
    "keras_jax": ("keras_jax.py", "", "Keras 3 on JAX"),
    "torch": ("torch_vae.py", "", "PyTorch"),
    "torch_compile": ("torch_vae.py", "compile", "torch.compile"),
    "pythae": ("pythae_vae.py", "", "Pythae"),
    "floor": ("floor.py", "", "matrix products alone"),
    "input": ("ours.py", "input", "tfp_vae's input alone"),
}


class Contender:
    """A process that trains when it is told to, and waits in between.

    Args:
      name: a key of `CONTENDERS`.
      settings: for the program: a dict of plain values.
      python: the interpreter to run it with; None is this one.
      folder: where it keeps its temporary files.
    """

    def __init__(
        self, name: str, settings: dict[str, Any], python: str | None, folder: Path
    ) -> None:
        file, variant, self.label = CONTENDERS[name]
        self.name, self.images = name, settings["steps"] * settings["batch_size"]
        environment = {
            **os.environ,
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)),
            "KERAS_BACKEND": "jax",
        }
        # Waiting OpenMP threads (PyTorch's) spin by default: a step takes 200 times as long beside
        # other programs. Set to ACTIVE to measure on a machine with nothing else to do.
        environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # As `import tfp_vae` does: the same kernels for every contender on TensorFlow.
        environment.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        if python is None:  # the packages may be in a checkout and not installed
            paths = [str(ROOT), os.environ.get("PYTHONPATH")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        else:
            environment.pop("PYTHONPATH", None)
        self._errors = tempfile.TemporaryFile("w+", dir=folder)  # noqa: SIM115  (`close` does)
        arguments = json.dumps({**settings, "variant": variant})
        self._process = subprocess.Popen(
            [python or sys.executable, str(PEERS / file), arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self.absent = None
        self.seconds: list[float] = []
        self.peak_bytes = 0

    def warm_up(self) -> None:
        """Waits until the program has compiled and run once, or says why it cannot take part."""
        try:
            answer = self._answer()
        except TrainingError as error:
            if self.name == "ours":
                raise
            answer = {"absent": str(error)}
        self.absent, self.versions = answer.get("absent"), answer.get("ready")

    def turn(self) -> None:
        """Trains for one turn, and records its time and peak memory."""
        with contextlib.suppress(BrokenPipeError):  # `_answer` then raises with its last error line
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        answer = self._answer()
        self.seconds.append(answer["seconds"])
        self.peak_bytes = answer["peak_bytes"]

    @property
    def microseconds(self) -> list[float]:
        """Time per image in each turn."""
        return [1e6 * seconds / self.images for seconds in self.seconds]

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or [f"exit {self._process.returncode}"]
        raise TrainingError(f"{self.label} failed: {lines[-1]}")
