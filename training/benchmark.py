"""`python -m training.benchmark`: the speed of `model.fit` and of other ways to train a VAE.

Every contender is a process of its own that stays warm while they take turns, one at a time, so
that whatever else the machine does happens to all of them. `training/peers` holds what they run.
"""

import contextlib
import dataclasses
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import cyclopts

from training.config import FLAGS, Config, InputError, Integer, run_command
from training.contenders import CASES, CONTENDERS, Contender

MANY = cyclopts.Parameter(consume_multiple=True)
GROWTH = {
    "batch": ("batch_size", (32, 64, 128, 256, 512)),
    "latents": ("latent_size", (2, 8, 32, 128, 256)),
    "images": ("count", (6000, 20000, 60000)),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The settings of a benchmark; each field is a flag."""

    dataset: str = "mnist"
    """As for `training.fit`; all of its training images are used."""

    data_dir: str | None = None
    """Where TFDS keeps its data; by default where TFDS itself looks (TFDS_DATA_DIR)."""

    case: Annotated[tuple[Literal[*CASES], ...], MANY] = tuple(CASES)
    """What to train."""

    contender: Annotated[tuple[Literal[*CONTENDERS], ...], MANY] = tuple(CONTENDERS)
    """Who trains it."""

    peer: Annotated[tuple[str, ...], MANY] = ()
    """CONTENDER=PYTHON: the interpreter of the environment that has what it needs, by default this
    one. What cannot be imported there is reported as absent."""

    growth: Annotated[tuple[Literal[*GROWTH], ...], MANY] = ()
    """Also how the time of tfp_vae grows with this, for the first case."""

    activation: Literal["relu", "tanh"] = "relu"
    """What follows each hidden layer."""

    latent_size: Integer = 50
    """Number of latents."""

    batch_size: Integer = 128
    """Images in a training step."""

    steps: Integer = 400
    """Training steps of a turn that are timed; as many before them are not."""

    rounds: Integer = 7
    """Turns of each contender."""

    out: Path | None = None
    """A JSON file for every number."""

    def __post_init__(self):
        for field in ("latent_size", "batch_size", "steps", "rounds"):
            value = getattr(self, field)
            if value < 1:
                raise InputError(f"--{field.replace('_', '-')} {value}: expected an integer >= 1")
        for peer in self.peer:
            name, _, python = peer.partition("=")
            if name not in CONTENDERS or not os.access(python, os.X_OK):
                names = ", ".join(CONTENDERS)
                raise InputError(f"--peer {peer}: expected NAME=PYTHON, NAME one of {names}")
        for field in ("case", "contender"):
            if not getattr(self, field):
                raise InputError(f"--{field}: expected at least one")


def benchmark(config: Annotated[Benchmark, FLAGS] = Benchmark()):
    """Time the training of one VAE by this package, by others, and by its matrix products alone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    if config.out is not None:
        import tfp_vae  # noqa: F401  (first, so that TensorFlow starts quietly)
        from tfp_vae import cli

        cli.check_writable(config.out)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = _write_images(config, folder / "images.npy")
        results = {
            "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
            "settings": _settings_that_count(config),
            "image_shape": shape[1:],
            "cases": {},
            "growth": {},
        }
        settings = _settings(config, folder, shape)
        for case in config.case:
            entries = {name: {**settings, **CASES[case]} for name in config.contender}
            results["cases"][case] = _compare(case, entries, config, folder)
            _print_case(case, results["cases"][case])
        for what in config.growth:
            results["growth"][what] = _grow(what, settings, shape, config, folder)
            _print_growth(what, config.case[0], results["growth"][what])
    if config.out is not None:
        config.out.write_text(json.dumps(results, indent=1) + "\n")


def _settings_that_count(config):
    """All but the places where things are on this machine."""
    places = ("data_dir", "peer", "out")
    return {name: v for name, v in dataclasses.asdict(config).items() if name not in places}


def _write_images(config, path):
    """Writes all training images, uint8 [N, H, W, C], where every contender can read them."""
    import numpy as np

    import tfp_vae  # noqa: F401  (first, so that TensorFlow starts quietly)
    from tfp_vae.errors import ImageError
    from training import loop, sources

    loop.silence()
    try:
        train = sources.read(Config(dataset=config.dataset, data_dir=config.data_dir))["train"]
    except ImageError as error:
        raise InputError(f"--dataset {config.dataset}: {error}") from error
    if train.pixels is None or train.pixels.dtype.name != "uint8":
        raise InputError(f"--dataset {config.dataset}: expected uint8 images that fit in memory")
    if train.count < config.batch_size:
        raise InputError(f"--batch-size {config.batch_size}: expected at most {train.count}")
    np.save(path, train.pixels.numpy())
    return [train.count, *train.shape]


def _settings(config, folder, shape):
    from training.loop import DENSE_STEPS_PER_EXECUTION

    names = ("activation", "latent_size", "batch_size", "steps")
    return {
        **{name: getattr(config, name) for name in names},
        "images": str(folder / "images.npy"),
        "count": shape[0],
        "steps_per_execution": DENSE_STEPS_PER_EXECUTION,
        "seed": 0,
    }


def _compare(title, entries, config, folder, program=None):
    """Starts what `entries`, name to settings, lists; all take turns. Name to what was measured."""
    from tqdm import tqdm

    pythons = dict(peer.split("=", 1) for peer in config.peer)
    contenders = {}
    with contextlib.ExitStack() as stack:
        bar = tqdm(total=len(entries) * (config.rounds + 1), desc=title, disable=None)
        stack.enter_context(bar)
        for name, settings in entries.items():
            who = program or name
            contender = Contender(who, settings, pythons.get(who), folder)
            stack.callback(contender.close)
            contender.warm_up()  # one at a time: compiling would disturb the others' warm-up
            contenders[name] = contender
            bar.update()
        present = [contender for contender in contenders.values() if contender.absent is None]
        for _ in range(config.rounds):
            for contender in present:
                contender.turn()
                bar.update()
    first = next(iter(contenders.values()))
    return {name: _measured(contender, first) for name, contender in contenders.items()}


def _measured(contender, reference):
    if contender.absent is not None:
        return {"label": contender.label, "absent": contender.absent}
    measured = {
        "label": contender.label,
        "versions": contender.versions,
        "microseconds_per_image": contender.microseconds,
        "peak_bytes": contender.peak_bytes,
    }
    if reference.absent is None:
        pairs = zip(contender.microseconds, reference.microseconds, strict=True)
        measured["ratios"] = [mine / other for mine, other in pairs]
    return measured


def _grow(what, settings, shape, config, folder):
    field, values = GROWTH[what]
    if field == "count":
        values = [*(value for value in values if value < shape[0]), shape[0]]
    turn = config.steps * config.batch_size  # images: the same for all
    entries = {}
    for value in values:
        own = {**settings, **CASES[config.case[0]], field: value}
        entries[str(value)] = {**own, "steps": max(1, turn // own["batch_size"])}
    return _compare(what, entries, config, folder, program="ours")


def _print_case(case, measured):
    first = next(iter(measured.values()))["label"]
    print(f"\n{case}: time of {first} = 1; median [lowest, highest] of the rounds")
    for entry in measured.values():
        print(f"  {entry['label']:22} {_row(entry)}", flush=True)


def _print_growth(what, case, measured):
    print(f"\n{case}, by {what}: the first = 1; median [lowest, highest] of the rounds")
    for value, entry in measured.items():
        print(f"  {value:22} {_row(entry)}", flush=True)


def _row(entry):
    if "absent" in entry:
        return f"absent: {entry['absent']}"
    time = statistics.median(entry["microseconds_per_image"])
    memory = entry["peak_bytes"] / 2**20
    ratio = ""
    if "ratios" in entry:
        ratios = entry["ratios"]
        middle = statistics.median(ratios)
        ratio = f"x{middle:6.2f} [{min(ratios):5.2f}, {max(ratios):5.2f}]  "
    versions = ", ".join(f"{name} {value}" for name, value in entry["versions"].items())
    return f"{time:8.2f} us/image  {ratio}{memory:6.0f} MiB  {versions}"


if __name__ == "__main__":
    sys.exit(run_command(benchmark, "training.benchmark"))
