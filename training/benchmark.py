"""`python -m training.benchmark`: the speed of `model.fit` and of other ways to train a VAE.

Each contender is a process that stays alive. The contenders train in turns, one at a time, so that
other load on the machine affects all of them alike. Their programs are in `training/peers`.
"""

import contextlib
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import AfterValidator, Field

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import run as run_command
from tfp_vae.errors import InputError
from training.config import FLAGS, Config, Settings
from training.peers.contenders import CASES, CONTENDERS, Contender

MANY = Parameter(consume_multiple=True)
GROWTH = {
    "batch": ("batch_size", (32, 64, 128, 256, 512)),
    "latents": ("latent_size", (2, 8, 32, 128, 256)),
    "images": ("count", (6000, 20000, 60000)),
}
Count = Annotated[int, Field(ge=1, lt=2**31)]


def _peer(text: str) -> str:
    name, _, python = text.partition("=")
    if name not in CONTENDERS or not os.access(python, os.X_OK):
        raise ValueError(f"expected NAME=PYTHON, NAME one of {', '.join(CONTENDERS)}")
    return text


def _not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("expected at least one")
    return names


class Benchmark(Settings):
    """The settings of a benchmark; each field is a flag."""

    dataset: str = "mnist"
    """As for `training.fit`; all of its training images are used."""

    data_dir: str | None = None
    """Where TFDS keeps its data; by default where TFDS itself looks (TFDS_DATA_DIR)."""

    case: Annotated[tuple[Literal[*CASES], ...], MANY, AfterValidator(_not_empty)] = tuple(CASES)
    """Models to train: network, covariance of q(z|x), precision."""

    contender: Annotated[tuple[Literal[*CONTENDERS], ...], MANY, AfterValidator(_not_empty)] = (
        tuple(CONTENDERS)
    )
    """Implementations to time."""

    peer: Annotated[tuple[Annotated[str, AfterValidator(_peer)], ...], MANY] = ()
    """CONTENDER=PYTHON: the Python interpreter to run a contender with, by default this one. A
    contender whose packages cannot be imported there is reported as absent."""

    growth: Annotated[tuple[Literal[*GROWTH], ...], MANY] = ()
    """Also time tfp_vae at several values of this quantity, for the first case."""

    activation: Literal["relu", "tanh"] = "relu"
    """Activation function of the hidden layers."""

    latent_size: Count = 50
    """Number of latents."""

    batch_size: Count = 128
    """Images in a training step."""

    steps: Count = 400
    """Timed training steps in a turn; as many untimed ones come before them."""

    rounds: Count = 7
    """Timed turns of each contender."""

    out: Path | None = None
    """JSON file to write every measurement to."""


def benchmark(*, config: Annotated[Benchmark, FLAGS] = Benchmark()) -> None:
    """Time the training of one VAE by this package, by others, and by its matrix products alone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    if config.out is not None:
        cli.check_writable(config.out)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = _write_images(config, folder / "images.npy")
        results: dict[str, Any] = {
            "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
            "settings": config.model_dump(mode="json", exclude={"data_dir", "peer", "out"}),
            "image_shape": shape[1:],
            "cases": {},
            "growth": {},
        }
        settings = _settings(config, folder, shape)
        for case in config.case:
            entries = {name: {**settings, **CASES[case]} for name in config.contender}
            measured = results["cases"][case] = _compare(case, entries, config, folder)
            labels = {entry["label"]: entry for entry in measured.values()}
            _print(f"{case}: time of {next(iter(labels))}", labels)
        for what in config.growth:
            results["growth"][what] = _grow(what, settings, shape, config, folder)
            _print(f"{config.case[0]}, by {what}: the first", results["growth"][what])
    if config.out is not None:
        config.out.write_text(json.dumps(results, indent=1) + "\n")


def _write_images(config: Benchmark, path: Path) -> list[int]:
    """Writes all training images, uint8, for every contender to read; returns [N, H, W, C]."""
    import numpy as np

    from tfp_vae.errors import ImageError
    from training.data import sources
    from training.run import loop

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


def _settings(config: Benchmark, folder: Path, shape: list[int]) -> dict[str, Any]:
    from training.run.loop import DENSE_STEPS_PER_EXECUTION

    names = ("activation", "latent_size", "batch_size", "steps")
    return {
        **{name: getattr(config, name) for name in names},
        "images": str(folder / "images.npy"),
        "count": shape[0],
        "steps_per_execution": DENSE_STEPS_PER_EXECUTION,
        "seed": 0,
    }


def _compare(
    title: str,
    entries: dict[str, dict[str, Any]],
    config: Benchmark,
    folder: Path,
    program: str | None = None,
) -> dict[str, Any]:
    """Starts a process for each entry and lets them train in turns.

    Args:
      title: of the progress bar.
      entries: settings of each contender by its name.
      config: the settings of the benchmark.
      folder: for temporary files.
      program: which one to run for every entry; by default the one of the entry's name.

    Returns:
      What was measured, by the same names.
    """
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
            contender.warm_up()  # one at a time, as compiling would slow another's warm-up
            contenders[name] = contender
            bar.update()
        present = [contender for contender in contenders.values() if contender.absent is None]
        for _ in range(config.rounds):
            for contender in present:
                contender.turn()
                bar.update()
    first = next(iter(contenders.values()))
    return {name: _measured(contender, first) for name, contender in contenders.items()}


def _measured(contender: Contender, reference: Contender) -> dict[str, Any]:
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


def _grow(
    what: str, settings: dict[str, Any], shape: list[int], config: Benchmark, folder: Path
) -> dict[str, Any]:
    field, values = GROWTH[what][0], list(GROWTH[what][1])
    if field == "count":
        values = [*(value for value in values if value < shape[0]), shape[0]]
    turn = config.steps * config.batch_size  # images, the same number for all
    entries = {}
    for value in values:
        own = {**settings, **CASES[config.case[0]], field: value}
        entries[str(value)] = {**own, "steps": max(1, turn // own["batch_size"])}
    return _compare(what, entries, config, folder, program="ours")


def _print(title: str, rows: dict[str, Any]) -> None:
    print(f"\n{title} = 1; median [lowest, highest] of the rounds")
    for name, entry in rows.items():
        print(f"  {name:22} {_row(entry)}", flush=True)


def _row(entry: dict[str, Any]) -> str:
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
