"""The model of a `Config`, and `model.fit` with its callbacks."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging as absl_logging

import tfp_vae
from tfp_vae import callbacks
from tfp_vae.cli.app import flag, with_name
from tfp_vae.errors import InputError
from tfp_vae.images.grids import write_png
from tfp_vae.models.code_prior import CodePriorModel
from tfp_vae.models.quantized import QuantizedVAE
from training import choices
from training.config import Config
from training.data.split import Split
from training.data.splits import Splits
from training.errors import TrainingError
from training.run import learning_rates, progress
from training.run.checkpoints import BestWeights, Checkpoints
from training.run.folder import FITTED_PRIOR, PRIOR_CHECKPOINTS, Run, prior_has_begun
from training.run.interrupts import Interrupts
from training.run.start_images import start_images

keras = tf_keras.callbacks

MANIFOLD_LATENTS = 2
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
            images=start_images(train, config),
            **config.part_options,
        )
        for callback in _warmup(config):
            callback.set_model(vae)  # refuses levels that there are not, before a folder is made
        _compile(
            vae,
            config,
            config.epochs,
            train.count // config.batch_size,
            DENSE_STEPS_PER_EXECUTION if config.network == "dense" else 1,
        )
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


def _compile(
    model: tf_keras.Model, config: Config, epochs: int, steps: int, steps_per_execution: int
) -> None:
    """Compiles `model` for `epochs` of `steps`, and makes the variables of its optimizer."""
    # XLA cannot compile the cross-replica collectives.
    auto = config.network == "dense" and config.strategy == "none"
    model.compile(
        tf_keras.optimizers.Adam(learning_rates.of(config, epochs * steps)),
        jit_compile=auto if config.jit_compile == "auto" else config.jit_compile == "true",
        steps_per_execution=steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)


def train(
    vae: "tfp_vae.VAE",
    splits: Splits,
    validation: tf.data.Dataset,
    config: Config,
    run: Run,
    interrupts: Interrupts,
) -> None:
    """Fits `vae`, and assigns it the weights of the epoch of the best `val_elbo`.

    Of a model of codes, then fits the prior of the codes likewise.

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
    history = run.path / "history.csv"
    of_model = Phase(config.epochs, config.patience, run.checkpoints, run.resumed, history)
    if not (run.resumed and prior_has_begun(run.resumed)):
        callbacks_of_model = [
            *_warmup(config),
            progress.CollapseWarning(),
            keras.TensorBoard(str(run.path / "logs"), write_graph=False),
            *_pictures(vae, validation, config, run),
        ]
        _fit(vae, splits, validation, config, interrupts, of_model, callbacks_of_model)
    if isinstance(vae, QuantizedVAE) and config.prior_epochs != 0:
        interrupts.check()
        prior_epochs = config.epochs if config.prior_epochs is None else config.prior_epochs
        print(f"the prior of the codes, {prior_epochs} epochs at most:", flush=True)
        of_prior = Phase(
            prior_epochs,
            config.patience,
            run.checkpoints / PRIOR_CHECKPOINTS,
            run.resumed and run.resumed / PRIOR_CHECKPOINTS,
            run.path / "prior_history.csv",
        )
        with vae.distribute_strategy.scope():
            model = CodePriorModel(vae)
            _compile(model, config, prior_epochs, splits.train.count // config.batch_size, 1)
        _fit(model, splits, validation, config, interrupts, of_prior, [])
        samples = callbacks.SampleGrid(run.path / "samples", seed=config.seed)
        samples.set_model(vae)
        write_png(samples.directory / FITTED_PRIOR, samples.draw())


class Phase(NamedTuple):
    """A part of a run that trains one model."""

    epochs: int
    patience: int
    checkpoints: Path
    """The folder to write them to."""
    resumed: Path | None
    """The folder of those to continue from: another one where this worker is not the first."""
    history: Path
    """A CSV file."""


def _fit(
    model: "tfp_vae.VAE | CodePriorModel",
    splits: Splits,
    validation: tf.data.Dataset,
    config: Config,
    interrupts: Interrupts,
    phase: Phase,
    others: list[tf_keras.callbacks.Callback],
) -> None:
    """Fits `model`, from its last checkpoint where the run is resumed; assigns the best weights."""
    steps = splits.train.count // config.batch_size
    phase.checkpoints.mkdir(exist_ok=True)
    with model.distribute_strategy.scope():
        best = BestWeights(model, phase.patience)
    checkpoints = Checkpoints(model, best, steps, phase.checkpoints, interrupts)
    if phase.resumed:
        checkpoints.restore(phase.resumed)
    done = checkpoints.step
    _keep_rows(phase.history, done // steps)
    ended = best.out_of_patience(done // steps)  # a run that was interrupted after its last epoch
    guard = callbacks.StopOnNonFinite()
    model.fit(
        splits.training_batches(config.batch_size, config.seed, start=done),
        validation_data=validation,
        epochs=done // steps if ended else phase.epochs,
        steps_per_epoch=steps,
        callbacks=[
            guard,
            best,
            progress.TimeLeft(),
            keras.CSVLogger(str(phase.history), append=True),
            *others,
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
    if np.any(config.kl_warmup_epochs):
        yield callbacks.KLWarmup(config.kl_warmup_epochs, config.beta)
    if config.kl_balance_epochs:
        yield callbacks.KLBalance(config.kl_balance_epochs)


def _pictures(
    vae: "tfp_vae.VAE", validation: tf.data.Dataset, config: Config, run: Run
) -> Iterator[tf_keras.callbacks.Callback]:
    """The callbacks that draw samples, reconstructions, and what suits the latents."""
    images = next(iter(validation)).numpy()[:RECONSTRUCTIONS]
    often = {"every": -(-config.epochs // MAX_PICTURES), "log_dir": run.path / "logs"}
    yield callbacks.SampleGrid(run.path / "samples", seed=config.seed, **often)
    yield callbacks.ReconstructionGrid(images, run.path / "reconstructions", **often)
    if vae.prior_layer.latent_size == MANIFOLD_LATENTS and not isinstance(vae, QuantizedVAE):
        yield callbacks.LatentManifold(run.path / "manifold", **often)
    if config.sparsity or config.active_units:
        yield tfp_vae.FeatureGrid(run.path / "features", **often)
