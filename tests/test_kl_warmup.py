"""The warm-up of the KL level by level, and the balance of levels.

tests/test_callbacks.py has the warm-up of the whole KL.
"""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import in_process
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, name_of

from tfp_vae import callbacks

SIZES = (4, 3, 2)  # of the levels, from the image up
LEVELS = {"model": "hierarchical", "latent_size": SIZES, "posterior": "independent_normal"}
STILL = tf_keras.optimizers.SGD


@pytest.fixture(scope="module")
def images():
    return (np.random.default_rng(0).random((100, 8, 9, 1)) > 0.6).astype(np.float32)


class Weights(tf_keras.callbacks.Callback):
    """The weight of each level, from the image up, at each step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        regularizer = self.model.encoder.layers[-1].activity_regularizer
        weights = regularizer.weight * regularizer.level_weights
        self.seen.append(weights.numpy()[::-1])


def test_each_level_has_a_warm_up_of_its_own(images):
    vae, seen = small_vae(**LEVELS), Weights()
    warmup = callbacks.KLWarmup((4, 2, 0), beta=3.0)
    vae.fit(images, batch_size=50, epochs=5, verbose=0, callbacks=[warmup, seen])
    done = np.arange(10)[:, None] / 2  # epochs, before each step
    expected = 3.0 * np.minimum(1.0, np.hstack([done / 4, done / 2, 1 + 0 * done]))
    np.testing.assert_allclose(seen.seen, expected, rtol=1e-6)


def test_a_loaded_model_has_the_weights_of_its_levels(images, tmp_path):
    vae = small_vae(**LEVELS)
    vae.fit(images, batch_size=50, verbose=0, callbacks=[callbacks.KLWarmup((4, 2, 0), beta=3.0)])
    expected = [1.0, 0.25, 0.125]  # the top level first
    for whole, name in ((vae, "model.keras"), (vae.encoder, "encoder.keras")):
        whole.save(tmp_path / name)
        loaded = tf_keras.models.load_model(tmp_path / name)
        layer = loaded.layers[-1] if whole is vae.encoder else loaded.encoder.layers[-1]
        regularizer = layer.activity_regularizer
        np.testing.assert_array_equal(regularizer.level_weights, expected)
        assert float(regularizer.weight) == 3.0
    config = vae.get_config()
    del config["level_weights"]  # as in an older file
    older = type(vae).from_config(config)
    np.testing.assert_array_equal(older._regularizer.level_weights, [1.0, 1.0, 1.0])
    vae.fit(images, batch_size=50, verbose=0, callbacks=[callbacks.KLWarmup(1)])
    np.testing.assert_array_equal(vae._regularizer.level_weights, [1.0, 1.0, 1.0])


@pytest.mark.parametrize("free_bits", [0.0, 0.4])
def test_the_loss_weighs_each_level_and_the_elbo_does_not(free_bits, images):
    vae = small_vae(**LEVELS, free_bits=free_bits)
    vae.compile(STILL(0.0))
    warmup = callbacks.KLWarmup((4, 2, 0), beta=3.0)
    history = vae.fit(images, batch_size=100, epochs=3, verbose=0, callbacks=[warmup]).history
    weights = 3.0 * np.array([[0, 0, 1], [0.25, 0.5, 1], [0.5, 1, 1]])
    levels = np.array([history[f"kl_{number}"] for number in (1, 2, 3)]).T
    counted = np.maximum(levels, free_bits * np.array(SIZES))
    nll = np.array(history["reconstruction_nll"])
    np.testing.assert_allclose(history["loss"], nll + (weights * counted).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(history["elbo"], -nll - levels.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("free_bits", [0.0, 0.4])
def test_a_balanced_level_weighs_as_its_share_of_the_kl(free_bits, images):
    vae = small_vae(**LEVELS, free_bits=free_bits, beta=3.0)
    vae.compile(STILL(0.0))
    balance = callbacks.KLBalance(2)
    history = vae.fit(images, batch_size=100, epochs=3, verbose=0, callbacks=[balance]).history
    levels = np.array([history[f"kl_{number}"] for number in (1, 2, 3)]).T
    shares = (levels + 1e-3) / np.mean(levels + 1e-3, axis=1, keepdims=True)
    assert np.ptp(shares) > 0.1  # else the weights are equal anyway
    weights = 3.0 * (1.0 + np.array([[1.0], [0.5], [0.0]]) * (shares - 1.0))
    counted = np.maximum(levels, free_bits * np.array(SIZES))
    nll = np.array(history["reconstruction_nll"])
    np.testing.assert_allclose(history["loss"], nll + (weights * counted).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(history["elbo"], -nll - levels.sum(axis=1), rtol=1e-5)


def test_the_balance_has_no_gradient_and_ends_with_the_training(images):
    vae, balance = small_vae(**LEVELS), callbacks.KLBalance(4)
    vae.fit(images, batch_size=50, verbose=0, callbacks=[balance])
    regularizer = vae.encoder.layers[-1].activity_regularizer
    assert float(regularizer.balance) == 0.0  # for who trains on without it
    levels = tf.Variable([[1.0, 2.0, 6.0], [3.0, 2.0, 4.0]])
    regularizer.balance.assign(1.0)
    with tf.GradientTape() as tape:
        weights = regularizer._balanced(levels)
    np.testing.assert_allclose(weights, np.array([2.0, 2.0, 5.0]) / 3.0, rtol=1e-3)
    assert tape.gradient(weights, levels) is None


@pytest.mark.slow
@pytest.mark.parametrize("options", HIERARCHIES[:1], ids=name_of)
def test_one_number_is_as_many_for_each_level(options, images):
    losses = []
    for epochs in (2, "each"):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(**options)
        count = len(vae.encoder.layers[-1].top_down.sizes)
        warmup = callbacks.KLWarmup([2] * count if epochs == "each" else epochs)
        options_of_fit = {"batch_size": 50, "epochs": 3, "verbose": 0, "shuffle": False}
        fitted = vae.fit(images, **options_of_fit, callbacks=[warmup])
        losses.append(fitted.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "epochs", "message"),
    [
        (LEVELS, (1, 2), "kl_warmup_epochs 1 2: expected one number, or 3, one for each level"),
        ({}, (1, 2), "kl_warmup_epochs 1 2: expected one number$"),
        ({**LEVELS, "num_samples": 2}, (1, 2, 3), "of several draws the KL of a level is not know"),
        (LEVELS, (0, 0, 0), r"epochs \(0, 0, 0\): expected at least 1"),
        (LEVELS, (1, 2, -1), r"epochs \(1, 2, -1\): expected at least 1"),
        (LEVELS, (), r"epochs \(\): expected at least 1"),
    ],
    ids=str,
)
def test_what_has_no_such_levels_is_named(options, epochs, message, images):
    with pytest.raises(ValueError, match=message):
        small_vae(**options).fit(images, verbose=0, callbacks=[callbacks.KLWarmup(epochs)])


@pytest.mark.parametrize("options", [{}, {**LEVELS, "num_samples": 2}], ids=str)
def test_only_a_hierarchy_that_knows_its_levels_is_balanced(options, images):
    with pytest.raises(ValueError, match=r"^kl_balance_epochs 2: only for a hierarchy with one dr"):
        small_vae(**options).fit(images, verbose=0, callbacks=[callbacks.KLBalance(2)])
    with pytest.raises(ValueError, match=r"^epochs 0: expected at least 1; without it levels"):
        callbacks.KLBalance(0)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--kl-warmup-epochs 3 1", "--kl-warmup-epochs 3 1: only for model hierarchical: expected"),
        (
            "--model hierarchical --kl-warmup-epochs 3 1 2",
            "--kl-warmup-epochs 3 1 2: expected one number, or 2, one for each level",
        ),
        (
            "--model hierarchical --objective iwae --num-samples 2 --kl-warmup-epochs 3 1",
            "--kl-warmup-epochs 3 1: of several draws the KL of a level is not known: expected 1",
        ),
        (
            "--kl-balance-epochs 3",
            "--kl-balance-epochs 3: only for a hierarchy with one draw, which knows the KL of each",
        ),
        (
            "--model hierarchical --objective iwae --num-samples 2 --kl-balance-epochs 3",
            "--kl-balance-epochs 3: only for a hierarchy with one draw, which knows the KL of each",
        ),
        pytest.param(
            "--model vq_vae_2 --network conv --kl-balance-epochs 3",
            "--kl-balance-epochs 3: only for a hierarchy with one draw, which knows the KL of each",
            marks=pytest.mark.slow,
        ),
        ("--model hierarchical --kl-balance-epochs -1", "greater than or equal to 0"),
        ("--model hierarchical --kl-warmup-epochs 3 -1", "greater than or equal to 0"),
    ],
)
def test_the_command_says_what_it_takes(argv, message, capsys, tmp_path):
    assert in_process(*argv.split(), "--output-dir", tmp_path / "runs") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
