"""A run's folder: `<output_dir>/<name>/<version>.incomplete` until it is renamed to `<version>`."""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from tfp_vae import __version__
from training.config import Config, InputError

PACKAGES = ("tensorflow", "tensorflow-probability", "tf-keras", "numpy")
CHECKPOINTS = "checkpoints"
LOCK = ".lock"  # beside the versions; held while one of them is trained
# What may differ when a run is continued: where things are. So may `epochs`, upward.
MAY_CHANGE = ("data_dir", "output_dir", "name", "resume", "restart")


@dataclasses.dataclass(frozen=True)
class Run:
    """Where an unfinished run writes, and where it goes in the end."""

    path: Path  # <version>.incomplete
    final: Path  # <version>
    resumed: Path | None  # the folder of the checkpoints to continue from

    @property
    def checkpoints(self):
        return self.path / CHECKPOINTS

    def write_config(self, config):
        """Every setting, and the versions it ran with."""
        versions = {package: version(package) for package in PACKAGES}
        versions["tfp-vae"] = __version__
        self.write_json("config.json", {**dataclasses.asdict(config), "versions": versions})

    def write_json(self, name, values):
        """By one rename: what was there stays whole until then."""
        new = self.path / f"{name}.new"
        new.write_text(json.dumps(values, indent=2) + "\n")
        new.rename(self.path / name)

    def what_is_left(self):
        """Where to continue from, in words."""
        if not self.path.is_dir():
            return f"there is no {self.path}"
        if not self.checkpoints.is_dir():
            return f"{self.path} has lost its checkpoints: discard it with --restart"
        return f"continue {self.path} with the same flags and --resume"

    def publish(self):
        """Makes the version visible by one rename; then its checkpoints go."""
        self.path.rename(self.final)
        shutil.rmtree(self.final / CHECKPOINTS)


def find(config: Config, chief=True):
    """The `Run` that `config` starts or continues; writes nothing.

    Args:
      config: its settings.
      chief: whether this process will write it; another worker finds what the first has made.

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


def _check_settings(config, path):
    before = dataclasses.asdict(Config.from_json(path / "config.json"))
    now = dataclasses.asdict(config)
    differ = [name for name in now if name not in MAY_CHANGE and now[name] != before[name]]
    if "epochs" in differ and now["epochs"] > before["epochs"]:
        differ.remove("epochs")
    if differ:
        each = ", ".join(f"--{name.replace('_', '-')} {_written(now[name])}" for name in differ)
        was = ", ".join(_written(before[name]) for name in differ)
        raise InputError(
            f"--resume: {each}: {path} was started with {was}: expected the same, or more --epochs"
        )


def _written(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@contextlib.contextmanager
def created(run, config):
    """Makes the run's folder, and holds its lock; with `--restart` what was unfinished goes.

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
                _make(run, config)
            else:
                run.write_config(config)  # more epochs, perhaps
        except OSError as error:
            raise _unwritable(config, error) from error
        yield run


def _make(run, config):
    """The run's folder, which is there with its settings or not at all."""
    for path in (run.path, run.final):
        if path.exists():
            raise InputError(f"--name {config.run_name}: {path} has appeared: expected no such run")
    new = run.path.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    dataclasses.replace(run, path=new).write_config(config)
    new.rename(run.path)


@contextlib.contextmanager
def elsewhere(run):
    """A folder of its own for a worker that only trains: all save, one keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.incomplete"
        path.mkdir()
        yield dataclasses.replace(run, path=path, final=path.with_suffix(""))


def _unwritable(config, error):
    return InputError(f"--output-dir {config.output_dir}: cannot be written ({error})")


@contextlib.contextmanager
def _locked(folder, config):
    """Holds the lock, which the operating system frees when the process ends, however it ends."""
    try:
        file = (folder / LOCK).open("a")  # NFS locks no file that is open for reading
    except OSError as error:
        raise _unwritable(config, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"--name {config.run_name}: another process is training in {folder}: "
                "expected one at a time, or another --name"
            ) from error
        except OSError as error:
            raise _unwritable(config, error) from error
        yield
