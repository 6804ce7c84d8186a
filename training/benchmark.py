"""`python -m training.benchmark`: the speed of `model.fit` and of other ways to train a VAE.

Each contender is a process that stays alive. The contenders train in turns, one at a time, so that
other load on the machine affects all of them alike. Their programs are in `training/peers`.
"""

import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from pydantic import AfterValidator, Field

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import run as run_command
from tfp_vae.errors import InputError
from training.config import FLAGS, Settings
from training.peers import result_table
from training.peers.cases import CASES, DEFAULT_CASES, model
from training.peers.contenders import CONTENDERS, Contender
from training.peers.families import FAMILIES

MANY = Parameter(consume_multiple=True)
GROWTH = {
    "batch": ("batch_size", (32, 64, 128, 256, 512)),
    "latents": ("latent_size", (2, 8, 32, 128, 256)),
    "images": ("count", (6000, 20000, 60000)),
    "family": ("family", tuple(name for name in FAMILIES if name != "codes")),
}
MIN_INPUT_STEPS = 256  # a batch takes well under a millisecond: fewer of them measure a queue
Count = Annotated[int, Field(ge=1, lt=2**31)]


def _peer(text: str) -> str:
    name, _, python = text.partition("=")
    is_program = os.path.isfile(python) and os.access(python, os.X_OK)
    if name not in CONTENDERS or not is_program:
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

    case: Annotated[tuple[Literal[*CASES], ...], MANY, AfterValidator(_not_empty)] = DEFAULT_CASES
    """Models to train: network, covariance of q(z|x) or size of the images, precision."""

    contender: Annotated[tuple[Literal[*CONTENDERS], ...], MANY, AfterValidator(_not_empty)] = (
        tuple(CONTENDERS)
    )
    """Implementations to time."""

    peer: Annotated[tuple[Annotated[str, AfterValidator(_peer)], ...], MANY] = ()
    """CONTENDER=PYTHON: the Python interpreter to run a contender with, by default this one. A
    contender whose packages cannot be imported there is reported as absent."""

    growth: Annotated[tuple[Literal[*GROWTH], ...], MANY] = ()
    """Also time tfp_vae at several values of this quantity, or with parts of each family, for the
    first case."""

    activation: Literal["relu", "tanh", "silu"] | None = None
    """Activation function of the hidden layers; by default silu for resnet, otherwise relu."""

    latent_size: Count | None = None
    """Number of latents; by default 64 for resnet, otherwise 50."""

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
        results = _results(config, Path(name))
    if config.out is not None:
        config.out.write_text(json.dumps(results, indent=1) + "\n")


def _results(config: Benchmark, folder: Path) -> dict[str, Any]:
    """Everything that was measured, as the JSON file holds it; prints it as it comes."""
    from training.peers import image_array

    images = image_array.write(config.dataset, config.data_dir, folder / "images.npy")
    if images.count < config.batch_size:
        raise InputError(f"--batch-size {config.batch_size}: expected at most {images.count}")
    models = {case: model(case, config, images.shape) for case in config.case}
    results: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "settings": config.model_dump(mode="json", exclude={"data_dir", "peer", "out"}),
        "models": models,
        "image_shape": images.shape,
        "decoding": images.decoding,
        "cases": {},
        "growth": {},
    }
    if images.decoding is not None:
        result_table.print_decoding(images.decoding)
    settings = {**_settings(config), **images.settings}
    for case in config.case:
        entries = {name: {**settings, **models[case]} for name in config.contender}
        if "input" in entries:
            entries["input"]["steps"] = max(config.steps, MIN_INPUT_STEPS)
        measured = results["cases"][case] = _compare(case, entries, config, folder)
        labels = {entry["label"]: entry for entry in measured.values()}
        result_table.print_rows(f"{case}: time of {next(iter(labels))}", labels)
    first = config.case[0]
    for what in config.growth:
        entries = _growing(what, {**settings, **models[first]})
        measured = results["growth"][what] = _compare(what, entries, config, folder, "ours")
        result_table.print_rows(f"{first}, by {what}: the first", measured)
    return results


def _settings(config: Benchmark) -> dict[str, Any]:
    from training.run.loop import DENSE_STEPS_PER_EXECUTION

    return {
        "batch_size": config.batch_size,
        "steps": config.steps,
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


def _growing(what: str, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings of tfp_vae for each value of a quantity, with as many images in a turn for all."""
    field, values = GROWTH[what][0], list(GROWTH[what][1])
    if field == "count":
        count = settings["count"]
        values = [*(value for value in values if value < count), count]
    turn = settings["steps"] * settings["batch_size"]
    entries = {}
    for value in values:
        own = {**settings, field: value}
        entries[str(value) or "vae"] = {**own, "steps": max(1, turn // own["batch_size"])}
    return entries


if __name__ == "__main__":
    sys.exit(run_command(benchmark, "training.benchmark"))
