"""`python -m training.fit`: trains a VAE, evaluates it, and leaves a SavedModel."""

import sys
import time
from typing import Annotated

from training.config import FLAGS, Config, run_command

EVALUATION_BATCH = 500  # images


def fit(config: Annotated[Config, FLAGS] = Config()):
    """Train a variational autoencoder, evaluate it, and export it as a SavedModel."""
    started = time.monotonic()
    import tfp_vae  # TensorFlow: seconds, which --help and a mistyped flag need not wait for
    from training import data, loop, runs

    loop.silence()
    run = runs.find(config)
    splits = data.load(config)
    vae = loop.build(config, splits.train.shape)
    runs.create(run, config)
    run.write_config(config)

    validation = splits.evaluation_batches("validation", EVALUATION_BATCH, config.seed)
    loop.train(vae, splits, validation, config, run)

    test = splits.evaluation_batches("test", EVALUATION_BATCH, config.seed)
    metrics = vae.evaluate(test, return_dict=True, verbose=0)
    run.write_json("metrics.json", {**metrics, "num_images": splits.test.count})
    vae.save(run.path / "model.keras")
    tfp_vae.export(vae, run.path)
    run.publish()
    print(
        f"test ELBO {metrics['elbo']:.3f} nats per image = "
        f"- reconstruction_nll {metrics['reconstruction_nll']:.3f} - kl {metrics['kl']:.3f}\n"
        f"{time.monotonic() - started:.0f} s; the model, its samples and its logs: {run.final}"
    )


if __name__ == "__main__":
    sys.exit(run_command(fit, "training.fit"))
