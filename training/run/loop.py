"""The model of a `Config`, and `model.fit` with its callbacks."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tf_keras
from absl import logging as absl_logging

import tfp_vae
from tfp_vae import callbacks
from tfp_vae.cli.app import flag, with_name
from tfp_vae.errors import InputError
from training import choices
from training.config import Config
from training.data.split import Split
from training.data.splits import Splits
from training.errors import TrainingError
from training.run import progress
from training.run.checkpoints import BestWeights, Checkpoints
from training.run.folder import Run
from training.run.interrupts import Interrupts

MANIFOLD_LATENTS = 2
STATISTICS_OF = 1000  # training images, from which a model takes means and deviations
MAX_PICTURES = 20  # of each kind, in one run
RECONSTRUCTIONS = 30  # images in a picture of them
# A dense step is as short as the return to Python. Other networks take one step at a time.
DENSE_STEPS_PER_EXECUTION = 16


def silence() -> None:
    """Sets TensorFlow's and TFDS's Python loggers to errors only."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    tf.get_logger().setLevel("ERROR")


def build(config: Config, train: Split, strategy: tf.distribute.Strategy) -> "tfp_vae.VAE":
    """The compiled `VAE` that `config` describes, for the images of `train`.

    Its weights are a function of the seed. What is `auto` still, the images choose.
    """
    config, _ = choices.choose(config, train)
    policy = "mixed_bfloat16" if config.mixed_precision else "float32"
    tf_keras.mixed_precision.set_global_policy(policy)
    tf_keras.utils.set_random_seed(config.seed)
    dense = config.network == "dense"
    # XLA cannot compile the cross-replica collectives.
    auto = dense and config.strategy == "none"
    with strategy.scope(), _errors_of_flags():
        vae = tfp_vae.build_vae(
            image_shape=train.shape,
            latent_size=config.latent_size,
            model=config.model,
            network=config.network,
            posterior=config.posterior,
            prior=config.prior,
            likelihood=config.likelihood,
            objective=config.objective,
            corruption=config.corruption,
            kl=config.kl,
            beta=config.beta,
            seed=config.seed,
            images=train.head(max(STATISTICS_OF, config.prior_components)).numpy(),
            **config.part_options,
        )
        vae.compile(
            tf_keras.optimizers.Adam(_learning_rate(config, train.count // config.batch_size)),
            jit_compile=auto if config.jit_compile == "auto" else config.jit_compile == "true",
            steps_per_execution=DENSE_STEPS_PER_EXECUTION if dense else 1,
        )
        vae.optimizer.build(vae.trainable_variables)
    return vae


@contextlib.contextmanager
def _errors_of_flags() -> Iterator[None]:
    """Names the flag in what `build_vae` refuses; it refuses what depends on several settings."""
    try:
        yield
    except InputError as error:
        message = str(error)
        if message.partition(" ")[0] not in Config.model_fields:
            raise
        raise InputError(with_name(message, flag)) from error


def _learning_rate(
    config: Config, steps_per_epoch: int
) -> float | tf_keras.optimizers.schedules.LearningRateSchedule:
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    # Loshchilov and Hutter (2017), without restarts.
    return tf_keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * steps_per_epoch
    )


def train(
    vae: "tfp_vae.VAE",
    splits: Splits,
    validation: tf.data.Dataset,
    config: Config,
    run: Run,
    interrupts: Interrupts,
) -> None:
    """Fits `vae`, and assigns it the weights of the epoch of the best `val_elbo`.

    Args:
      vae: as `build` returns it.
      splits: the images to train on.
      validation: batches of images [B, H, W, C].
      config: the settings of the run; what is `auto` still, the images choose, as in `build`.
      run: where to write history, pictures, logs and checkpoints.
      interrupts: notes the signals.

    Raises:
      TrainingError: a term of the loss became NaN or infinite.
      Interrupted: a signal came; the state of training is in a checkpoint.
    """
    config, _ = choices.choose(config, splits.train)
    steps = splits.train.count // config.batch_size
    run.checkpoints.mkdir(exist_ok=True)
    with vae.distribute_strategy.scope():
        best = BestWeights(vae, config.patience)
    checkpoints = Checkpoints(vae, best, steps, run.checkpoints, interrupts)
    if run.resumed:
        checkpoints.restore(run.resumed)
    done = checkpoints.step
    history = run.path / "history.csv"
    _keep_rows(history, done // steps)
    ended = best.out_of_patience(done // steps)  # a run that was interrupted after its last epoch

    keras = tf_keras.callbacks
    guard = callbacks.StopOnNonFinite()
    vae.fit(
        splits.training_batches(config.batch_size, config.seed, start=done),
        validation_data=validation,
        epochs=done // steps if ended else config.epochs,
        steps_per_epoch=steps,
        callbacks=[
            *_warmup(config),
            guard,
            progress.CollapseWarning(),
            best,
            progress.TimeLeft(),
            keras.CSVLogger(str(history), append=True),
            keras.TensorBoard(str(run.path / "logs"), write_graph=False),
            *_pictures(vae, validation, config, run),
            checkpoints,
        ],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    if guard.failure:
        # Do not advise --resume: the run is deterministic, and would fail again at the same step.
        good = checkpoints.last or "none but the initial ones"
        raise TrainingError(
            f"training stopped: {guard.failure}; the last good weights: {good}; "
            "begin again with other settings and --restart"
        )
    best.restore()


def _keep_rows(history: Path, epochs: int) -> None:
    """Drops the rows of epochs after the last checkpoint, which are trained again."""
    if history.exists():
        lines = history.read_bytes().splitlines(keepends=True)  # CSV's line ends are not Python's
        history.write_bytes(b"".join(lines[: 1 + epochs] if epochs else []))


def _warmup(config: Config) -> Iterator[tf_keras.callbacks.Callback]:
    if config.kl_warmup_epochs:
        yield callbacks.KLWarmup(config.kl_warmup_epochs, config.beta)


def _pictures(
    vae: "tfp_vae.VAE", validation: tf.data.Dataset, config: Config, run: Run
) -> Iterator[tf_keras.callbacks.Callback]:
    """The callbacks that draw samples, reconstructions, and what suits the latents."""
    images = next(iter(validation)).numpy()[:RECONSTRUCTIONS]
    often = {"every": -(-config.epochs // MAX_PICTURES), "log_dir": run.path / "logs"}
    yield callbacks.SampleGrid(run.path / "samples", seed=config.seed, **often)
    yield callbacks.ReconstructionGrid(images, run.path / "reconstructions", **often)
    if vae.prior_layer.latent_size == MANIFOLD_LATENTS:
        yield callbacks.LatentManifold(run.path / "manifold", **often)
    if config.sparsity or config.active_units:
        yield tfp_vae.FeatureGrid(run.path / "features", **often)
