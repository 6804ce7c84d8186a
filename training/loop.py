"""The model of a `Config`, and `model.fit` with its callbacks."""

import csv
import sys

import tensorflow as tf
import tf_keras
from absl import logging as absl_logging

import tfp_vae
from training import callbacks
from training.config import TrainingError

MANIFOLD_LATENTS = 2
PICTURES = 20  # of each kind at most, in one run
RECONSTRUCTIONS = 30  # images in a picture of them
DENSE_STEPS_PER_EXECUTION = 16  # a dense step is too short to return to Python after each


def silence():
    """No notes from TensorFlow's and TFDS's Python code, below errors."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    tf.get_logger().setLevel("ERROR")


def build(config, image_shape):
    """The compiled `VAE` that `config` describes; its weights are a function of the seed."""
    policy = "mixed_bfloat16" if config.mixed_precision else "float32"
    tf_keras.mixed_precision.set_global_policy(policy)
    tf_keras.utils.set_random_seed(config.seed)
    dense = config.network == "dense"
    vae = tfp_vae.build_vae(
        image_shape=image_shape,
        latent_size=config.latent_size,
        network=config.network,
        hidden_units=config.hidden_units if dense else None,
        posterior=config.posterior,
        likelihood=config.likelihood,
        likelihood_scale=config.likelihood_scale,
        kl=config.kl,
        beta=config.beta,
        seed=config.seed,
    )
    vae.compile(
        tf_keras.optimizers.Adam(config.learning_rate),
        jit_compile=dense if config.jit_compile == "auto" else config.jit_compile == "true",
        steps_per_execution=DENSE_STEPS_PER_EXECUTION if dense else 1,
    )
    return vae


def train(vae, splits, validation, config, run):
    """Fits `vae`, and leaves it with the weights of the epoch of the best `val_elbo`.

    Raises:
      TrainingError: a term of the loss became NaN or infinite.
    """
    checkpoints = run.path / "checkpoints"
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(model=vae), str(checkpoints), max_to_keep=2, checkpoint_name="epoch"
    )
    vae.optimizer.build(vae.trainable_variables)
    if run.resumed and manager.latest_checkpoint:
        manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
    steps = splits.train.count // config.batch_size
    done = int(vae.optimizer.iterations)
    history, best = run.path / "history.csv", str(checkpoints / "best")
    rows = list(csv.DictReader(history.open())) if run.resumed and history.exists() else []

    keras = tf_keras.callbacks
    guard = callbacks.StopOnNonFinite()
    logs = str(run.path / "logs")
    best_so_far = max((float(row["val_elbo"]) for row in rows), default=None)
    best_weights = keras.ModelCheckpoint(
        best,
        monitor="val_elbo",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
        initial_value_threshold=best_so_far,
    )
    vae.fit(
        splits.training_batches(config.batch_size, config.seed, start=done),
        validation_data=validation,
        epochs=config.epochs,
        initial_epoch=done // steps,
        steps_per_epoch=steps,
        callbacks=[
            *_warmup(config),
            guard,
            best_weights,
            keras.CSVLogger(str(history), append=run.resumed),
            keras.TensorBoard(logs, write_graph=False),
            *_pictures(validation, config, run),
            callbacks.CheckpointEachEpoch(manager),
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if guard.failure:
        raise TrainingError(f"training stopped: {guard.failure}; checkpoints are in {checkpoints}")
    vae.load_weights(best).expect_partial()


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
