"""`python -m training.fit`: trains a VAE, evaluates it, and leaves a SavedModel."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from tfp_vae.cli.app import run as run_command
from training.config import FLAGS, Config
from training.errors import Interrupted, TrainingError

if TYPE_CHECKING:
    import tfp_vae
    from training.data.splits import Splits
    from training.run.folder import Run
    from training.run.interrupts import Interrupts


def fit(*, config: Annotated[Config, FLAGS] = Config()) -> None:
    """Train a variational autoencoder, evaluate it, and export it as a SavedModel."""
    started = time.monotonic()
    # These import TensorFlow, which takes seconds that --help and a mistyped flag do not need.
    from tfp_vae.saved_model.functions import describe
    from training import choices
    from training.data import fingerprint
    from training.data import splits as data
    from training.run import card, folder, loop, strategies, summary
    from training.run.interrupts import Interrupts

    loop.silence()
    chief = strategies.is_chief(config.strategy)
    run = folder.find(config, chief)
    config = folder.settings(config, run)
    with _one_line_errors(run):
        strategy = strategies.make(config)  # must precede every other TensorFlow operation
        splits = data.load(config)
        config, chosen = choices.choose(config, splits.train)
        images = fingerprint.of(splits)
        folder.check_images(run, config, images)
        evaluated = {
            name: splits.evaluation_batches(
                name,
                strategies.evaluation_batch(split.count, strategy, split.shape),
                config.seed,
            )
            for name, split in (("validation", splits.validation), ("test", splits.test))
        }
        vae = loop.build(config, splits.train, strategy)
    if chosen:
        print(choices.sentence(chosen), flush=True)
    with (
        folder.created(run, config, images) if chief else folder.temporary(run) as place,
        _one_line_errors(run),
        Interrupts() as interrupts,
    ):
        metrics = _trained(vae, splits, evaluated, config, place, interrupts)
        card.write(place, config, images, metrics, describe(vae))
        if chief:
            run.publish()
    where = run.final if chief else "with the first worker"
    print(*summary.lines(metrics, vae.kl_form, config.model), sep="\n")
    if chosen:
        print(choices.sentence(chosen))
    print(f"{time.monotonic() - started:.0f} s; the model, its samples and its logs: {where}")


def _trained(
    vae: "tfp_vae.VAE",
    splits: "Splits",
    evaluated: dict[str, Any],
    config: Config,
    run: "Run",
    interrupts: "Interrupts",
) -> dict[str, float]:
    """Trains, and writes all files of a run; returns its metrics on the test images."""
    import tfp_vae
    from training.run import learning_rates, loop, summary

    loop.train(vae, splits, evaluated["validation"], config, run, interrupts)
    interrupts.check()
    metrics = summary.measured(vae, splits, evaluated["test"], config)
    metrics |= summary.of_training(run.path / "history.csv")
    interrupts.check()
    run.write_json("metrics.json", metrics)
    learning_rates.keep_constant(vae, config)
    vae.save(run.path / "model.keras")
    tfp_vae.export(vae, run.path)
    interrupts.check()
    return metrics


@contextlib.contextmanager
def _one_line_errors(run: "Run") -> Iterator[None]:
    """Converts signals and I/O errors to a one-line message that says how to resume."""
    import tensorflow as tf

    from tfp_vae import errors

    try:
        yield
    except Interrupted as interruption:
        message = f"interrupted: {run.advice()}"
        raise Interrupted(interruption.number, message) from interruption
    except (OSError, MemoryError, tf.errors.OpError) as error:
        why, advice = errors.reason(error), run.advice()
        if errors.ImageError.__name__ in why:  # of a stream, whose files are not all read before
            advice += ", or leave damaged files out with --restart --skip-damaged"
        raise TrainingError(f"training stopped: {why}; {advice}") from error


if __name__ == "__main__":
    sys.exit(run_command(fit, "training.fit"))
