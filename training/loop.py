"""The model of a `Config`, and `model.fit` with its callbacks."""

import sys

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging as absl_logging

import tfp_vae
from tfp_vae.images import to_float
from training import callbacks
from training.checkpoints import BestWeights, Checkpoints
from training.config import TrainingError

MANIFOLD_LATENTS = 2
MEAN_OF = 1000  # images whose mean the decoder starts at
PICTURES = 20  # of each kind at most, in one run
RECONSTRUCTIONS = 30  # images in a picture of them
DENSE_STEPS_PER_EXECUTION = 16  # a dense step is too short to return to Python after each


def silence():
    """No notes from TensorFlow's and TFDS's Python code, below errors."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    tf.get_logger().setLevel("ERROR")


def build(config, train, strategy):
    """The compiled `VAE` that `config` describes, for the images of the `Split` `train`.

    Its weights are a function of the seed.
    """
    policy = "mixed_bfloat16" if config.mixed_precision else "float32"
    tf_keras.mixed_precision.set_global_policy(policy)
    tf_keras.utils.set_random_seed(config.seed)
    dense = config.network == "dense"
    # XLA cannot compile what replicas say to one another.
    auto = dense and config.strategy == "none"
    with strategy.scope():
        vae = tfp_vae.build_vae(
            image_shape=train.shape,
            latent_size=config.latent_size,
            network=config.network,
            hidden_units=config.hidden_units if dense else None,
            activation=config.activation,
            mean_image=np.mean(to_float(train.head(MEAN_OF)), axis=0),
            posterior=config.posterior,
            likelihood=config.likelihood,
            likelihood_scale=config.likelihood_scale,
            kl=config.kl,
            beta=config.beta,
            seed=config.seed,
        )
        vae.compile(
            tf_keras.optimizers.Adam(_learning_rate(config, train.count // config.batch_size)),
            jit_compile=auto if config.jit_compile == "auto" else config.jit_compile == "true",
            steps_per_execution=DENSE_STEPS_PER_EXECUTION if dense else 1,
        )
        vae.optimizer.build(vae.trainable_variables)
    return vae


def _learning_rate(config, steps_per_epoch):
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    # Loshchilov and Hutter (2017), without restarts.
    return tf_keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * steps_per_epoch
    )


def train(vae, splits, validation, config, run, interrupts):
    """Fits `vae`, and leaves it with the weights of the epoch of the best `val_elbo`.

    Raises:
      TrainingError: a term of the loss became NaN or infinite.
      Interrupted: a signal came; what was done is in a checkpoint.
    """
    steps = splits.train.count // config.batch_size
    run.checkpoints.mkdir(exist_ok=True)
    with vae.distribute_strategy.scope():
        best = BestWeights(vae)
    checkpoints = Checkpoints(vae, best, steps, run.checkpoints, interrupts)
    if run.resumed:
        checkpoints.restore(run.resumed)
    done = checkpoints.step
    history = run.path / "history.csv"
    _keep_rows(history, done // steps)

    keras = tf_keras.callbacks
    guard = callbacks.StopOnNonFinite()
    vae.fit(
        splits.training_batches(config.batch_size, config.seed, start=done),
        validation_data=validation,
        epochs=config.epochs,
        steps_per_epoch=steps,
        callbacks=[
            *_warmup(config),
            guard,
            best,
            keras.CSVLogger(str(history), append=True),
            keras.TensorBoard(str(run.path / "logs"), write_graph=False),
            *_pictures(validation, config, run),
            checkpoints,
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if guard.failure:
        # To continue would end there again: a run is a function of its settings.
        good = checkpoints.last or "none but the initial ones"
        raise TrainingError(
            f"training stopped: {guard.failure}; the last good weights: {good}; "
            "begin again with other settings and --restart"
        )
    best.restore()


def _keep_rows(history, epochs):
    """Drops the rows of epochs that will be done again, where the run was killed after them."""
    if history.exists():
        lines = history.read_bytes().splitlines(keepends=True)  # CSV's line ends are not Python's
        history.write_bytes(b"".join(lines[: 1 + epochs] if epochs else []))


def _warmup(config):
    if config.kl_warmup_epochs:
        yield callbacks.KLWarmup(config.kl_warmup_epochs, config.beta)


def _pictures(validation, config, run):
    """The callbacks that draw samples, reconstructions and, for two latents, the manifold."""
    images = next(iter(validation)).numpy()[:RECONSTRUCTIONS]
    often = {"every": -(-config.epochs // PICTURES), "log_dir": run.path / "logs"}
    yield callbacks.SampleGrid(run.path / "samples", seed=config.seed, **often)
    yield callbacks.ReconstructionGrid(images, run.path / "reconstructions", **often)
    if config.latent_size == MANIFOLD_LATENTS:
        yield callbacks.LatentManifold(run.path / "manifold", **often)
