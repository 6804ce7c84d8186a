"""Training on extremes: finite numbers, or a stop that names the step and ruins no checkpoint."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from helpers.parts import cases, name_of

from tfp_vae import callbacks
from training.run import checkpoints
from training.run.checkpoints import BestWeights, Checkpoints
from training.run.interrupts import Interrupts


class Step(tf_keras.callbacks.Callback):
    """Learning rates by epoch, from 0."""

    def __init__(self, rates):
        super().__init__()
        self.rates = rates

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate.assign(self.rates[epoch])


@pytest.fixture
def each_epoch(monkeypatch):
    """A checkpoint after each epoch, whatever share of the time that takes."""
    monkeypatch.setattr(checkpoints, "MAX_SAVE_FRACTION", float("inf"))


def checkpoints_of(vae, steps, folder):
    vae.optimizer.build(vae.trainable_variables)
    return Checkpoints(vae, BestWeights(vae), steps, folder, Interrupts())


@pytest.mark.parametrize(
    ("together", "bad", "named"),
    [(1, 5, "step 6"), (4, 5, "steps 5-8"), (4, 9, "steps 9-10")],
)
def test_the_steps_of_a_failure_are_named(together, bad, named, grey_images):
    images = grey_images.copy()
    images[13 * bad] = np.nan
    vae = small_vae()
    vae.compile("adam", steps_per_execution=together)
    guard = callbacks.StopOnNonFinite()
    batches = tf.data.Dataset.from_tensor_slices(images).batch(13)  # ten of them
    vae.fit(batches, epochs=3, verbose=0, callbacks=[guard])
    assert guard.failure == f"reconstruction_nll became nan at {named} of epoch 1"


@pytest.mark.parametrize(
    ("rate", "validated", "named"),
    [
        (np.inf, False, "was not finite at the end of epoch 2"),
        (3e38, True, "became nan at the end of epoch 2"),  # finite weights
    ],
)
def test_a_last_step_that_ruins_the_weights_is_seen_and_not_saved(
    rate, validated, named, grey_images, each_epoch, tmp_path
):
    vae = small_vae()
    vae.compile(tf_keras.optimizers.SGD(0.0))
    guard, saved = callbacks.StopOnNonFinite(), checkpoints_of(vae, 1, tmp_path)
    used = [Step([0.01, rate, 0.0]), guard, saved]
    # One step to an epoch: its loss is taken before its weights.
    validation = grey_images[:5] if validated else None
    vae.fit(
        grey_images,
        batch_size=130,
        epochs=3,
        verbose=0,
        callbacks=used,
        validation_data=validation,
    )
    assert guard.failure.endswith(named), guard.failure
    assert [path.name for path in tmp_path.glob("*.index")] == ["step-1.index"]
    saved.restore(tmp_path)
    assert callbacks.nonfinite_variable(vae) is None
    assert np.isfinite(vae.predict(grey_images, verbose=0)).all()


def test_a_failure_within_an_epoch_leaves_the_last_checkpoint(grey_images, each_epoch, tmp_path):
    vae = small_vae()
    vae.compile(tf_keras.optimizers.SGD(0.0))
    guard, saved = callbacks.StopOnNonFinite(), checkpoints_of(vae, 10, tmp_path)
    used = [Step([0.01, 3e38, 0.0]), guard, saved]
    vae.fit(grey_images, batch_size=13, epochs=3, verbose=0, callbacks=used)
    assert "became nan at step 2 of epoch 2" in guard.failure
    assert [path.name for path in tmp_path.glob("*.index")] == ["step-10.index"]
    assert saved.last == str(tmp_path / "step-10")


def test_an_optimizer_that_overflowed_is_named(grey_images):
    vae = small_vae()
    vae.fit(grey_images, verbose=0)
    assert callbacks.nonfinite_variable(vae) is None
    squares = next(v for v in vae.optimizer.variables if "/v/" in v.name and len(v.shape) == 2)
    squares.assign(squares + np.inf)
    assert callbacks.nonfinite_variable(vae) == squares.name.removesuffix(":0")


def test_a_legacy_optimizer_is_looked_at_too(grey_images):
    vae = small_vae()
    vae.compile(tf_keras.optimizers.legacy.Adam(0.0))
    guard = callbacks.StopOnNonFinite()
    vae.fit(grey_images, verbose=0, callbacks=[guard])
    assert guard.failure is None


@pytest.mark.parametrize("options", cases("likelihood"), ids=name_of)
def test_constant_images_and_a_huge_step_size_stay_finite(options):
    vae = small_vae(**options)
    vae.compile(tf_keras.optimizers.Adam(1e3))
    guard = callbacks.StopOnNonFinite()
    for grey in (0.0, 0.5, 1.0):
        images = np.full((16, 8, 9, 1), grey, np.float32)
        history = vae.fit(images, batch_size=4, epochs=2, verbose=0, callbacks=[guard]).history
        assert guard.failure is None and np.isfinite(history["elbo"]).all()
