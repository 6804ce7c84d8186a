import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import layer_of
from helpers.parts import LIKELIHOOD_CASES, name_of
from scipy import integrate, special, stats

import tfp_vae
from tfp_vae.layers.likelihoods import MIN_PIXEL_SCALE, independent_normal

tfpl = tfp.layers
SHAPE = (3, 4, 1)


def make(likelihood, **options):
    return layer_of("likelihood", likelihood, SHAPE, **options)


def params_for(layer, rows=5, scale=2.0):
    size = int(layer.params_size(SHAPE))
    return scale * np.random.default_rng(0).normal(size=(rows, size)).astype(np.float32)


def test_bernoulli_is_the_stock_layer():
    layer = tfp_vae.IndependentBernoulli(SHAPE)
    assert isinstance(layer, tfpl.IndependentBernoulli)
    params = params_for(layer)
    images = (np.random.default_rng(1).random((5, *SHAPE)) < 0.5).astype(np.float32)
    stock = tfpl.IndependentBernoulli(SHAPE)(params)
    np.testing.assert_allclose(layer(params).log_prob(images), stock.log_prob(images), rtol=1e-6)


def test_bernoulli_log_likelihood_in_float64():
    layer = tfp_vae.IndependentBernoulli(SHAPE)
    params = params_for(layer)
    images = (np.random.default_rng(1).random((5, *SHAPE)) < 0.5).astype(np.float64)
    p = special.expit(params.astype(np.float64)).reshape(5, *SHAPE)
    expected = (images * np.log(p) + (1 - images) * np.log1p(-p)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(layer(params).log_prob(np.float32(images)), expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-30.0, -3.0, -0.01, 0.0, 1e-4, 0.3, 4.0, 30.0])
def test_continuous_bernoulli_is_a_density_with_its_mean(logit):
    layer = tfp_vae.IndependentContinuousBernoulli((1,))
    pixel = layer(np.float32([[logit]]))

    def density(x):
        return float(np.exp(pixel.log_prob(np.float32([[x]])))[0])

    break_points = [0.01, 0.1, 0.9, 0.99]
    total, _ = integrate.quad(density, 0, 1, points=break_points, epsrel=1e-5)
    mean, _ = integrate.quad(lambda x: x * density(x), 0, 1, points=break_points, epsrel=1e-5)
    assert total == pytest.approx(1.0, abs=2e-4)
    assert float(pixel.mean()[0, 0]) == pytest.approx(mean, abs=2e-4)


@pytest.mark.parametrize("scale", ["shared", "per_pixel", 0.25])
def test_normal_log_likelihood_keeps_its_constants(scale):
    layer = independent_normal(SHAPE, scale)
    params = params_for(layer, scale=0.5)
    images = np.random.default_rng(1).random((5, *SHAPE)).astype(np.float32)
    loc = params[:, :12].reshape(5, *SHAPE)
    likelihood = layer(params)
    if scale == "per_pixel":
        sigma = MIN_PIXEL_SCALE + np.log1p(np.exp(params[:, 12:])).reshape(5, *SHAPE)
    else:
        sigma = MIN_PIXEL_SCALE + np.log(2.0) if scale == "shared" else scale
    expected = stats.norm.logpdf(images, loc, sigma).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(likelihood.log_prob(images), expected, rtol=1e-5)


def test_a_fixed_unit_scale_is_the_squared_error_up_to_a_constant():
    layer = independent_normal(SHAPE, 1.0)
    params = params_for(layer)
    images = np.random.default_rng(1).random((5, *SHAPE)).astype(np.float32)
    squared = ((images - params.reshape(5, *SHAPE)) ** 2).sum(axis=(1, 2, 3))
    constant = 0.5 * 12 * np.log(2 * np.pi)
    np.testing.assert_allclose(-layer(params).log_prob(images), squared / 2 + constant, rtol=1e-5)


def test_the_shared_scale_is_one_learned_weight_and_a_fixed_one_none():
    learned, fixed = independent_normal(SHAPE, "shared"), independent_normal(SHAPE, 0.5)
    learned(params_for(learned)), fixed(params_for(fixed))
    assert [weight.shape.rank for weight in learned.trainable_weights] == [0]
    assert fixed.trainable_weights == []
    assert [weight.name for weight in fixed.weights] == ["draws:0"]  # the count of its draws


@pytest.mark.parametrize("options", LIKELIHOOD_CASES, ids=name_of)
@pytest.mark.parametrize("scale", [0.0, 1e4, 1e30])
def test_no_input_gives_nan(options, scale):
    layer = make(**options)
    params = tf.constant(params_for(layer, scale=scale))
    for grey in (0.0, 0.5, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(params)
            log_prob = layer(params).log_prob(np.full((5, *SHAPE), grey, np.float32))
        assert np.all(np.isfinite(log_prob))
        assert np.all(np.isfinite(tape.gradient(log_prob, params)))
    assert np.all(np.isfinite(layer(params).mean()))


@pytest.mark.parametrize("options", LIKELIHOOD_CASES, ids=name_of)
def test_the_layer_comes_back_from_its_config(options):
    layer = make(**options)
    params = params_for(layer)
    layer(params)
    again = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(again(params).mean(), layer(params).mean())
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_no_scale_is_refused(scale):
    with pytest.raises(ValueError, match="expected a positive number"):
        independent_normal(SHAPE, scale)
