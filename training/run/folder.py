"""A run's folder: `<output_dir>/<name>/<version>.incomplete` until it is renamed to `<version>`."""

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock

from tfp_vae import __version__
from tfp_vae.cli.app import flag
from tfp_vae.errors import InputError
from tfp_vae.models import MODELS_OF_CODES, NOT_OF_CODES
from tfp_vae.whole_files import replacing
from training import config_json
from training.config import Config
from training.config_json import DataSet

PACKAGES = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
CHECKPOINTS = "checkpoints"
PRIOR_CHECKPOINTS = "prior"  # in that folder, once the prior of codes is fitted
# In `samples/`, of codes, whose prior is fitted after the epochs of the other pictures.
FITTED_PRIOR = "fitted-prior.png"
LOCK = ".lock"  # beside the versions; held while one of them is trained
# Settings that may differ when a run is continued. So may `epochs`, upward.
MAY_CHANGE = ("data_dir", "output_dir", "name", "resume", "restart")


@dataclasses.dataclass(frozen=True)
class Run:
    """Where an unfinished run writes, and where it goes in the end.

    Args:
      path: `<version>.incomplete`.
      final: `<version>`.
      resumed: the folder of the checkpoints to continue from; None for a new run.
    """

    path: Path
    final: Path
    resumed: Path | None

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's own checkpoints."""
        return self.path / CHECKPOINTS

    def write_config(self, config: Config, data: DataSet | None = None) -> None:
        """Writes `config.json`: every setting of the model, the images, versions of packages."""
        versions = {package: version(package) for package in PACKAGES}
        versions["tfp-vae"] = __version__
        absent = NOT_OF_CODES if config.model in MODELS_OF_CODES else ()
        settings = config.model_dump(mode="json", exclude=set(absent))
        values = {**settings, "versions": versions}
        if data is not None:
            values["data"] = data.model_dump(mode="json")
        self.write_json("config.json", values)

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Replaces a file of the run, which is never half written."""
        with replacing(self.path / name, "w") as file:
            file.write(json.dumps(values, indent=2) + "\n")

    def advice(self) -> str:
        """How to continue a run that has stopped, in words."""
        if not self.path.is_dir():
            return f"there is no {self.path}"
        if not self.checkpoints.is_dir():
            return f"{self.path} has lost its checkpoints: discard it with --restart"
        return f"continue {self.path} with the same flags and --resume"

    def publish(self) -> None:
        """Makes the version visible by one rename, then removes its checkpoints."""
        self.path.rename(self.final)
        shutil.rmtree(self.final / CHECKPOINTS)


def settings(config: Config, run: Run) -> Config:
    """`config` with every `auto` replaced by what a run that is continued was started with."""
    if run.resumed is None:
        return config
    before = Config.from_json(run.path / "config.json")
    return Config(
        **{**config.model_dump(), **{name: getattr(before, name) for name in config.chosen_later}}
    )


def find(config: Config, chief: bool = True) -> Run:
    """The `Run` that `config` starts or continues; writes nothing.

    Args:
      config: its settings.
      chief: whether this process writes the run; another worker finds what the chief has made.

    Raises:
      InputError: an unfinished run that is neither resumed nor restarted, that is being trained, or
        that has other settings; or none to resume.
    """
    folder = Path(config.output_dir) / config.run_name
    try:
        found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"--output-dir {config.output_dir}: cannot be read ({error})") from error
    if chief and (folder / LOCK).exists():
        with _locked(folder, config):
            pass
    unfinished = [path for path in found if path.suffix == ".incomplete"]
    if chief and unfinished and not (config.resume or config.restart):
        raise InputError(
            f"--name {config.run_name}: {unfinished[0]} is an unfinished run: "
            "continue it with --resume, or discard it with --restart"
        )
    if config.resume:
        if not unfinished:
            raise InputError(f"--resume: no unfinished run in {folder}")
        path = unfinished[0]
        _check_settings(config, path)
        return Run(path, path.with_suffix(""), resumed=path / CHECKPOINTS)
    finished = [int(path.name) for path in found if path.name.isdecimal()]
    final = folder / str(max(finished, default=0) + 1)
    return Run(final.with_name(f"{final.name}.incomplete"), final, resumed=None)


def prior_has_begun(checkpoints: Path) -> bool:
    """Whether the model of codes is trained, and a checkpoint of its prior is there."""
    return any((checkpoints / PRIOR_CHECKPOINTS).glob("step-*.index"))


def _check_settings(config: Config, path: Path) -> None:
    before, now = Config.from_json(path / "config.json").model_dump(), config.model_dump()
    may_change = (*MAY_CHANGE, *config.chosen_later)
    differ = [name for name in now if name not in may_change and now[name] != before[name]]
    epochs = before["epochs"], now["epochs"]
    of_prior = prior_has_begun(path / CHECKPOINTS)
    if "epochs" in differ and "auto" not in epochs and epochs[1] > epochs[0] and not of_prior:
        differ.remove("epochs")
    if "kl" in differ and (before["kl"], now["kl"]) == ("exact", "auto"):
        differ.remove("kl")  # version 0.1.0 had no `auto`, and all its models have a closed form
    if differ:
        each = ", ".join(f"{flag(name)} {_written(now[name])}" for name in differ)
        was = ", ".join(_written(before[name]) for name in differ)
        more = ": its model is trained" if of_prior else ", or more --epochs"
        raise InputError(
            f"--resume: {each}: {path} was started with {was}: expected the same{more}"
        )


def _written(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def check_images(run: Run, config: Config, data: DataSet) -> None:
    """Refuses to continue a run on other images than it was started with.

    Args:
      run: a resumed run is checked, unless its `config.json` names no images (version 0.1.0).
      config: its settings.
      data: the images as they are now.

    Raises:
      InputError: they differ.
    """
    if run.resumed is None:
        return
    difference = config_json.read(run.path / "config.json").difference(data)
    if difference:
        raise InputError(
            f"--dataset {config.dataset}: {difference}: expected the images that {run.path} was "
            "started with, or --restart in place of --resume"
        )


@contextlib.contextmanager
def created(run: Run, config: Config, data: DataSet | None = None) -> Iterator[Run]:
    """Makes the run's folder and holds its lock; with `--restart`, removes the unfinished run.

    Raises:
      InputError: the folder cannot be written, or another process trains a run of this name.
    """
    folder = run.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(config, error) from error
    with _locked(folder, config):
        try:
            if config.restart:
                for path in folder.glob("*.incomplete"):
                    shutil.rmtree(path)
            if run.resumed is None:
                _make(run, config, data)
            else:
                run.write_config(config, data)  # `epochs` may have been raised
        except OSError as error:
            raise _unwritable(config, error) from error
        yield run


def _make(run: Run, config: Config, data: DataSet | None) -> None:
    """Makes the folder under another name first, so that it appears with its settings."""
    for path in (run.path, run.final):
        if path.exists():
            raise InputError(f"--name {config.run_name}: {path} has appeared: expected no such run")
    new = run.path.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    dataclasses.replace(run, path=new).write_config(config, data)
    new.rename(run.path)


@contextlib.contextmanager
def temporary(run: Run) -> Iterator[Run]:
    """A temporary folder for a worker that is not the chief: all write, the chief's files stay."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.incomplete"
        path.mkdir()
        yield dataclasses.replace(run, path=path, final=path.with_suffix(""))


def _unwritable(config: Config, error: OSError) -> InputError:
    return InputError(f"--output-dir {config.output_dir}: cannot be written ({error})")


@contextlib.contextmanager
def _locked(folder: Path, config: Config) -> Iterator[None]:
    """Holds the lock. The operating system releases it when the process exits, however it does."""
    lock = filelock.FileLock(
        folder / LOCK, blocking=False, fallback_to_soft=False, preserve_lock_file=True
    )
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise InputError(
            f"--name {config.run_name}: another process is training in {folder}: "
            "expected one at a time, or another --name"
        ) from error
    except OSError as error:
        raise _unwritable(config, error) from error
    try:
        yield
    finally:
        lock.release()
