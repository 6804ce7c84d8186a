"""`python -m training.fit`: trains a VAE, evaluates it, and leaves a SavedModel."""

import contextlib
import sys
import time
from typing import Annotated

from training.config import FLAGS, Config, Interrupted, TrainingError, run_command


def fit(config: Annotated[Config, FLAGS] = Config()):
    """Train a variational autoencoder, evaluate it, and export it as a SavedModel."""
    started = time.monotonic()
    import tfp_vae  # noqa: F401  TensorFlow: seconds, which --help and a mistyped flag do not need
    from training import data, loop, runs, strategies

    loop.silence()
    chief = strategies.is_chief(config.strategy)
    run = runs.find(config, chief)
    with _one_line(run):
        strategy = strategies.make(config)  # before any work: TensorFlow's own demand
        splits = data.load(config)
        evaluated = {
            name: splits.evaluation_batches(
                name,
                strategies.evaluation_batch(getattr(splits, name).count, strategy),
                config.seed,
            )
            for name in ("validation", "test")
        }
        vae = loop.build(config, splits.train, strategy)
    with (
        runs.created(run, config) if chief else runs.elsewhere(run) as place,
        _one_line(run),
    ):
        metrics = _trained(vae, splits, evaluated, config, place)
        if chief:
            run.publish()
    where = run.final if chief else "with the first worker"
    print(
        f"test ELBO {metrics['elbo']:.3f} nats per image = "
        f"- reconstruction_nll {metrics['reconstruction_nll']:.3f} - kl {metrics['kl']:.3f}\n"
        f"{time.monotonic() - started:.0f} s; the model, its samples and its logs: {where}"
    )


def _trained(vae, splits, evaluated, config, run):
    """Trains, and writes all of a run; its metrics on the test images."""
    import tfp_vae
    from training import loop
    from training.interrupts import Interrupts

    with Interrupts() as interrupts:
        loop.train(vae, splits, evaluated["validation"], config, run, interrupts)
        metrics = vae.evaluate(evaluated["test"], return_dict=True, verbose=0)
        interrupts.check()
        run.write_json("metrics.json", {**metrics, "num_images": splits.test.count})
        vae.save(run.path / "model.keras")
        tfp_vae.export(vae, run.path)
        interrupts.check()
    return metrics


@contextlib.contextmanager
def _one_line(run):
    """What the world does to a run, a full disk or a signal, in one line with what is left."""
    import tensorflow as tf

    from tfp_vae import errors

    try:
        yield
    except Interrupted as interruption:
        message = f"interrupted: {run.what_is_left()}"
        raise Interrupted(interruption.number, message) from interruption
    except (OSError, MemoryError, tf.errors.OpError) as error:
        why = errors.reason(error)
        raise TrainingError(f"training stopped: {why}; {run.what_is_left()}") from error


if __name__ == "__main__":
    sys.exit(run_command(fit, "training.fit"))
