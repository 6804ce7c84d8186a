"""Couplings, and the posterior that they make; the fixed scale of a Normal posterior."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import small_vae

import tfp_vae
from tfp_vae.flows import Couplings
from tfp_vae.layers.posteriors import MIN_SCALE

tfd = tfp.distributions
LATENTS, SEED = 2, tf.constant([3, 4])


def shaken(layer, scale):
    random = np.random.default_rng(1)
    for weight in layer.weights:
        if weight.dtype.is_floating:
            weight.assign_add(scale * random.normal(size=weight.shape).astype(np.float32))


@pytest.fixture(scope="module")
def layer():
    """A flow that is far from a Normal."""
    tf_keras.utils.set_random_seed(0)
    made = tfp_vae.FlowPosterior(LATENTS, hidden_units=16, context_size=3, seed=0)
    made.build((None, made.params_size(LATENTS)))
    shaken(made, 0.25)
    return made


def params(layer, rows):
    size = layer.params_size(layer.event_size)
    return np.random.default_rng(0).normal(size=(rows, size)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("context_size", [0, 3])
def test_couplings_are_inverted_exactly(size, context_size):
    flow = Couplings(size, 4, 8, context_size)
    shaken(flow, 0.3)
    random = np.random.default_rng(0)
    z = random.normal(size=(7, size)).astype(np.float32)
    context = random.normal(size=(7, context_size)).astype(np.float32) if context_size else None
    with tf.GradientTape(persistent=True) as tape:
        x = tf.constant(z)
        tape.watch(x)
        y, log_determinant = flow.forward(x, context)
    back, again = flow.inverse(y, context)
    np.testing.assert_allclose(back, z, atol=1e-5)
    np.testing.assert_allclose(again, log_determinant, atol=1e-5)
    expected = np.linalg.slogdet(tape.batch_jacobian(y, x))[1]
    np.testing.assert_allclose(log_determinant, expected, atol=1e-4)
    assert size == 1 or np.abs(y - z).min() > 0  # every latent moves


@pytest.mark.parametrize("options", [{}, {"model": "hierarchical", "latent_size": (3, 2)}], ids=str)
def test_weights_alone_are_saved_in_the_older_format_too(options, tmp_path):
    one, other = (small_vae(**options, posterior="flow", prior="flow") for _ in range(2))
    shaken(one, 0.1)
    one.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    for a, b in zip(one.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_flow_starts_as_the_normal_of_its_parameters():
    flow = tfp_vae.FlowPosterior(4, seed=0)
    values = params(flow, 7)
    posterior = flow(values)
    normal = tfp_vae.IndependentNormal(4)(values[:, :8])
    np.testing.assert_allclose(posterior.mean(), normal.mean(), atol=1e-6)
    np.testing.assert_allclose(posterior.stddev(), normal.stddev(), rtol=1e-5)
    z = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    np.testing.assert_allclose(posterior.log_prob(z), normal.log_prob(z), rtol=1e-5)


def test_the_density_of_a_draw_is_the_same_forwards_and_backwards(layer, monkeypatch):
    posterior = layer.make_distribution(params(layer, 50))
    latents, forwards = layer.sample_and_log_prob(posterior, SEED)
    backwards = posterior.log_prob(tf.identity(latents))
    np.testing.assert_allclose(forwards, backwards, rtol=1e-4, atol=1e-4)
    stock = posterior.experimental_sample_and_log_prob(3, seed=SEED)
    np.testing.assert_allclose(stock[1], posterior.log_prob(tf.identity(stock[0])), atol=1e-3)

    def never(*arguments):
        raise AssertionError("the couplings were inverted")

    monkeypatch.setattr(Couplings, "inverse", never)
    drawn = layer(params(layer, 50))  # as in a training step
    assert np.isfinite(drawn.log_prob(tf.convert_to_tensor(drawn))).all()
    with pytest.raises(AssertionError, match="were inverted"):
        drawn.log_prob(tf.identity(tf.convert_to_tensor(drawn)))


def test_both_ways_have_one_gradient(layer):
    values = tf.constant(params(layer, 5))
    gradients = []
    for same in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(values)
            posterior = layer.make_distribution(values)
            z = layer.sample(posterior, SEED)
            log_prob = posterior.log_prob(z if same else tf.identity(z))
        gradients.append(tape.gradient(log_prob, [values, *layer.trainable_weights]))
    for forwards, backwards in zip(*gradients, strict=True):
        np.testing.assert_allclose(forwards, backwards, rtol=1e-3, atol=1e-4)


def test_the_inverse_density_over_a_box_is_its_volume(layer):
    """E_q[1 / q(z|x)] over a box: an integral of 1, wherever the flow has mass."""
    row = np.repeat(params(layer, 1), 200_000, axis=0)
    latents, log_probs = layer.sample_and_log_prob(layer.make_distribution(row), SEED)
    latents, log_probs = latents.numpy(), log_probs.numpy()
    low, high = np.quantile(latents, [0.3, 0.7], axis=0)
    inside = ((latents > low) & (latents < high)).all(axis=1)
    assert inside.mean() > 0.05
    inverse = inside * np.exp(-np.float64(log_probs))
    error = inverse.std() / np.sqrt(len(inverse))
    volume = np.prod(high - low)
    assert error < 0.02 * volume
    assert abs(inverse.mean() - volume) < 4 * error


def test_the_moments_are_near_those_of_many_draws(layer):
    values = params(layer, 4)
    posterior = layer.make_distribution(values)
    draws = posterior.sample(50_000, seed=SEED)
    mean, stddev = np.mean(draws, axis=0), np.std(draws, axis=0)
    np.testing.assert_array_less(np.abs(posterior.mean() - mean), 0.35 * stddev)
    np.testing.assert_allclose(posterior.stddev(), stddev, rtol=0.35)
    assert np.abs(posterior.mean() - posterior.base.mean()).max() > 0.5  # the flow moves it
    np.testing.assert_array_equal(posterior.mean(), layer.make_distribution(values).mean())


def test_the_couplings_belong_to_the_layer(layer):
    again = tfp_vae.FlowPosterior.from_config(layer.get_config())
    again.build((None, 7))
    again.set_weights(layer.get_weights())
    z = np.zeros((3, LATENTS), np.float32)
    values = params(layer, 3)
    one, other = (each.make_distribution(values).log_prob(z) for each in (again, layer))
    np.testing.assert_array_equal(one, other)
    assert len(layer.trainable_weights) == 7 * 4  # of each coupling: three biases, four kernels


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_fixed_scale_has_an_exact_kl(scale):
    regularizer = tfp_vae.KLDivergenceRegularizer(tfp_vae.StandardNormal(3), use_exact_kl=True)
    layer = tfp_vae.IndependentNormalFixedScale(3, scale, seed=0, activity_regularizer=regularizer)
    assert layer.params_size(3) == 3
    mean = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    posterior = layer(mean)
    expected = 0.5 * (mean**2 + scale**2 - 1).sum(axis=1) - 3 * np.log(scale)
    np.testing.assert_allclose(regularizer.divergence(posterior), expected, rtol=1e-5)
    np.testing.assert_allclose(sum(layer.losses), expected.mean(), rtol=1e-5)
    drawn = layer(np.repeat(mean[:1], 20_000, axis=0))
    residual = tf.convert_to_tensor(drawn) - mean[0]
    np.testing.assert_allclose(np.std(residual, axis=0), scale, rtol=0.03)


def test_a_scale_that_is_none_is_refused():
    for wrong in (0.0, -1.0, float("inf"), "learned"):
        with pytest.raises(ValueError, match="expected a positive number"):
            tfp_vae.IndependentNormalFixedScale(3, wrong)
    with pytest.raises(ValueError, match="posterior_scale 'wide': input should be 'learned'"):
        tfp_vae.build_vae((8, 8, 1), 2, posterior="independent_normal", posterior_scale="wide")
    learned = tfp_vae.build_vae((8, 8, 1), 2, posterior="independent_normal", hidden_units=(4,))
    stddev = learned.encoder(np.zeros((1, 8, 8, 1), np.float32)).stddev()
    assert float(tf.reduce_min(stddev)) > MIN_SCALE
