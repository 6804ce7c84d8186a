"""Sparse codes: the penalty and the k units by NumPy, what the loss and a run make of them."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import in_process
from helpers.models import layer_of, small_vae
from PIL import Image
from scipy.stats import entropy

import tfp_vae
from tfp_vae.layers.sparse import CODE_NOISE, SPARSITY_WEIGHT, CodeNoise
from training.run import summary

ACTIVITY = np.random.default_rng(0).beta(0.2, 2.0, size=(50, 6))


def penalty(activity, target):
    """The sum over units of the KL between Bernoullis, in float64."""
    means = activity.mean(axis=0, dtype=np.float64)
    return sum(entropy([target, 1 - target], [mean, 1 - mean]) for mean in means)


@pytest.mark.parametrize("target", [0.05, 0.5, 0.9])
def test_the_penalty_is_that_of_the_formula(target):
    found = tfp_vae.SparsityRegularizer(target, weight=2.0).penalty(tf.constant(ACTIVITY))
    np.testing.assert_allclose(found, 2 * penalty(ACTIVITY, target), rtol=1e-5)
    at_target = tfp_vae.SparsityRegularizer(target).penalty(tf.fill([3, 4], target))
    np.testing.assert_allclose(at_target, 0.0, atol=1e-6)


@pytest.mark.parametrize("logit", [-1e6, -60.0, 60.0, 1e6])
@pytest.mark.parametrize("target", [1e-40, 0.05, 1 - 1e-12])
def test_units_that_are_never_or_always_active_have_a_finite_penalty(logit, target):
    logits = tf.Variable(tf.fill([3, 2], logit))
    with tf.GradientTape() as tape:
        found = tfp_vae.SparsityRegularizer(target).penalty(tf.math.sigmoid(logits))
    assert np.isfinite(found) and np.all(np.isfinite(tape.gradient(found, logits)))


def test_the_loss_has_the_penalty_once_and_the_logs_have_not(grey_images):
    vae = small_vae(posterior="deterministic", sparsity=0.1)
    vae.compile(tf_keras.optimizers.SGD(0.0))
    expected = SPARSITY_WEIGHT * penalty(vae.encoder(grey_images).mean().numpy(), 0.1)
    assert expected > 1
    logs = vae.fit(grey_images, batch_size=130, verbose=0).history
    logs = {name: value[0] for name, value in logs.items()}
    assert logs["loss"] == pytest.approx(logs["reconstruction_nll"] + expected, rel=1e-5)
    assert logs["elbo"] == pytest.approx(-logs["reconstruction_nll"], rel=1e-6)
    assert logs["kl"] == 0


def test_training_moves_the_activity_to_its_target(grey_images):
    vae = small_vae(posterior="deterministic", sparsity=0.1, latent_size=8)
    vae.compile(tf_keras.optimizers.Adam(0.02))
    before = np.abs(vae.encoder(grey_images).mean().numpy().mean(axis=0) - 0.1)
    vae.fit(grey_images, batch_size=65, epochs=60, verbose=0)
    after = np.abs(vae.encoder(grey_images).mean().numpy().mean(axis=0) - 0.1)
    assert before.min() > 0.3 and after.max() < 0.05


@pytest.mark.parametrize("k", [1, 3, 8])
def test_the_k_largest_units_stay(k):
    layer = layer_of("posterior", "deterministic", 8, active_units=k)
    params = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    code = layer(params).mean().numpy()
    assert np.all((code != 0).sum(axis=1) == k)
    least = np.sort(params, axis=1)[:, -k, np.newaxis]
    np.testing.assert_array_equal(code, np.where(params >= least, params, 0))
    assert np.all((layer(np.ones((2, 8), np.float32)).mean().numpy() != 0).sum(axis=1) == k)


def test_the_gradient_passes_the_units_that_stay():
    layer = tfp_vae.KSparseCode(3, active_units=2)
    params = tf.Variable([[3.0, -1.0, 2.0], [-5.0, -1.0, -2.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(params).mean())
    np.testing.assert_array_equal(tape.gradient(total, params), [[1, 0, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, r"^sparsity 1\.0: input should be less than 1"),
        ({"sparsity": -0.1}, r"^sparsity -0\.1: input should be greater than or equal to 0"),
        ({"active_units": 5}, "^active_units 5: expected 1 to 4, the number of latents"),
        ({"active_units": 2, "sparsity": 0.1}, r"^sparsity 0\.1 with active_units 2: give one"),
        ({"posterior": "flow", "sparsity": 0.1}, "^sparsity 0.1: only for posterior deterministic"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_vae(**{"posterior": "deterministic", **options})


def test_a_target_or_a_weight_that_is_none_is_refused():
    for arguments, message in (((0.0,), "sparsity 0.0"), ((0.1, -1.0), "sparsity weight -1.0")):
        with pytest.raises(ValueError, match=message):
            tfp_vae.SparsityRegularizer(*arguments)


def test_the_decoder_is_given_noise_in_training_only():
    vae = small_vae(posterior="deterministic", sparsity=0.1)
    codes = tf.fill([500, 4], 0.5)
    (noise,) = [each for each in vae.decoder.layers if isinstance(each, CodeNoise)]
    np.testing.assert_array_equal(noise(codes), codes)
    drawn = noise(codes, training=True).numpy() - 0.5
    assert drawn.std() == pytest.approx(CODE_NOISE, rel=0.05)
    pixels = tfp_vae.InputNoise(CODE_NOISE, seed=1)(codes, training=True).numpy() - 0.5
    assert abs(np.corrcoef(drawn.ravel(), pixels.ravel())[0, 1]) < 0.1
    evaluated = [vae.decoder(codes[:2]).mean().numpy() for _ in range(2)]
    np.testing.assert_array_equal(*evaluated)
    for options in ({}, {"active_units": 2}):
        decoder = small_vae(posterior="deterministic", **options).decoder
        assert not any(isinstance(each, CodeNoise) for each in decoder.layers)


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_units_that_vary_little_are_no_collapse(share):
    metrics = {"elbo": -1.0, "reconstruction_nll": 1.0, "kl": 0.0, "num_parameters": 9}
    metrics |= {"active_units": 0, "num_latents": 8}
    sparse = {"active_share": share, "mean_activity": 0.01, "target_activity": 0.01}
    assert "no latent is active" in list(summary.lines(metrics, "none"))[-1]
    assert f"{share:.1%} of the 8 units" in list(summary.lines(metrics | sparse, "none"))[-1]


def test_how_sparse_a_code_is():
    codes = np.array([[0.9, 0.1, 0.6, 0.0], [0.2, 0.1, 0.4, 0.1]], np.float32)
    sigmoid = layer_of("posterior", "deterministic", 4, sparsity=0.2)
    expected = {"active_share": 0.25, "mean_activity": 0.3, "target_activity": 0.2}
    assert summary.sparsity(sigmoid, codes) == pytest.approx(expected)
    k_sparse = layer_of("posterior", "deterministic", 4, active_units=2)
    assert summary.sparsity(k_sparse, codes) == {"active_share": 7 / 8}
    assert summary.sparsity(layer_of("posterior", "deterministic", 4), codes) == {}


def test_features_are_what_each_unit_adds(grey_images, tmp_path):
    vae = small_vae(posterior="deterministic", active_units=2)
    grid = tfp_vae.FeatureGrid(tmp_path, limit=3)
    vae.fit(grey_images, verbose=0, callbacks=[grid])
    codes = np.vstack([np.zeros((1, 4)), np.eye(4)]).astype(np.float32)
    decoded = vae.decoder(codes).mean().numpy()
    features = decoded[1:4] - decoded[:1]
    np.testing.assert_allclose(grid.features(), features, atol=1e-6)
    picture = np.asarray(Image.open(tmp_path / "epoch-0001.png"))
    assert picture.shape == (2 * 49 + 1, 2 * 55 + 1)
    shown = np.rint(255 * (0.5 + 0.5 * features[0, ..., 0] / np.abs(features).max()))
    np.testing.assert_allclose(picture[1:49:6, 1:55:6], shown, atol=1)


def test_a_run_says_how_sparse_it_is(tmp_path, capfd):
    argv = ("--posterior", "deterministic", "--sparsity", 0.1, "--hidden-units", 8)
    argv += ("--epochs", 1, "--output-dir", tmp_path)
    assert in_process(*argv) == 0
    run = tmp_path / "digits" / "1"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["target_activity"] == 0.1 and 0 < metrics["mean_activity"] < 1
    line = f"their mean activity is {metrics['mean_activity']:.4f}, the target 0.1\n"
    assert line in capfd.readouterr().out
    assert [path.name for path in (run / "features").iterdir()] == ["epoch-0001.png"]
    assert metrics["loss"] > -metrics["elbo"]
    model = tfp_vae.load(run)
    codes = model.encode(np.random.default_rng(0).random((9, 8, 8, 1)))
    assert codes.min() > 0 and codes.max() < 1
