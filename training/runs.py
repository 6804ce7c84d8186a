"""A run's folder: `<output_dir>/<name>/<version>.incomplete` until it is renamed to `<version>`."""

import dataclasses
import json
import shutil
from importlib.metadata import version
from pathlib import Path

from tfp_vae import __version__
from training.config import Config, InputError

PACKAGES = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Run:
    """Where an unfinished run writes, and where it goes in the end."""

    path: Path  # <version>.incomplete
    final: Path  # <version>
    resumed: bool

    def write_config(self, config):
        """Every setting, and the versions it ran with."""
        versions = {package: version(package) for package in PACKAGES}
        versions["tfp-vae"] = __version__
        self.write_json("config.json", {**dataclasses.asdict(config), "versions": versions})

    def write_json(self, name, values):
        (self.path / name).write_text(json.dumps(values, indent=2) + "\n")

    def publish(self):
        """Removes the checkpoints and makes the version visible by one rename."""
        shutil.rmtree(self.path / CHECKPOINTS)
        self.path.rename(self.final)


def find(config: Config):
    """The `Run` that `config` starts or continues; writes nothing.

    Raises:
      InputError: an unfinished run that is neither resumed nor restarted, or none to resume.
    """
    folder = Path(config.output_dir) / config.run_name
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    unfinished = [path for path in found if path.suffix == ".incomplete"]
    if unfinished and not (config.resume or config.restart):
        raise InputError(
            f"--name {config.run_name}: {unfinished[0]} is an unfinished run: "
            "continue it with --resume, or discard it with --restart"
        )
    if config.resume:
        if not unfinished:
            raise InputError(f"--resume: no unfinished run in {folder}")
        return Run(unfinished[0], unfinished[0].with_suffix(""), resumed=True)
    finished = [int(path.name) for path in found if path.name.isdecimal()]
    final = folder / str(max(finished, default=0) + 1)
    return Run(final.with_name(f"{final.name}.incomplete"), final, resumed=False)


def create(run, config):
    """Makes the run's folder; with `--restart` what was unfinished goes.

    Raises:
      InputError: the folder cannot be written.
    """
    try:
        if config.restart:
            for path in run.path.parent.glob("*.incomplete"):
                shutil.rmtree(path)
        run.path.mkdir(parents=True, exist_ok=run.resumed)
    except OSError as error:
        raise InputError(
            f"--output-dir {config.output_dir}: cannot be written ({error})"
        ) from error
