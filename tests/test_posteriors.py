import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import layer_of
from helpers.parts import POSTERIORS

import tfp_vae

tfd, tfpl = tfp.distributions, tfp.layers
LATENTS = 4


def params_for(layer, rows=7, scale=1.0):
    size = int(layer.params_size(LATENTS))
    return scale * np.random.default_rng(0).normal(size=(rows, size)).astype(np.float32)


@pytest.mark.parametrize(
    ("ours", "stock"),
    [
        (tfp_vae.MultivariateNormalTriL, tfpl.MultivariateNormalTriL),
        (tfp_vae.IndependentNormal, tfpl.IndependentNormal),
    ],
)
def test_is_the_stock_layer_with_the_same_distribution(ours, stock):
    layer = ours(LATENTS)
    assert isinstance(layer, stock)
    params = params_for(layer)
    mine, theirs = layer(params), stock(LATENTS)(params)
    np.testing.assert_allclose(mine.mean(), theirs.mean(), atol=1e-6)
    np.testing.assert_allclose(mine.stddev(), theirs.stddev(), atol=2e-5)  # the lower bound
    z = np.zeros(LATENTS, np.float32)
    np.testing.assert_allclose(mine.log_prob(z), theirs.log_prob(z), rtol=1e-3)


def test_tril_covariance_is_that_of_the_stock_layer():
    layer = tfp_vae.MultivariateNormalTriL(LATENTS)
    params = params_for(layer)
    stock = tfpl.MultivariateNormalTriL.new(params, LATENTS)
    np.testing.assert_allclose(layer(params).covariance(), stock.covariance(), atol=1e-5)


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("scale", [0.0, 1e4, 1e30, np.inf])
def test_no_input_gives_nan(name, scale):
    layer = layer_of("posterior", name, LATENTS)
    with np.errstate(invalid="ignore"):
        params = np.nan_to_num(params_for(layer, scale=scale), nan=0.0, posinf=np.inf)
    params = tf.constant(np.concatenate([params, -params]))
    with tf.GradientTape() as tape:
        tape.watch(params)
        posterior = layer(params)
        z = tf.convert_to_tensor(posterior)
        value = tf.reduce_sum(z)
        if name != "deterministic":
            prior = tfp_vae.KLDivergenceRegularizer(
                tfd.MultivariateNormalDiag(tf.zeros(LATENTS)), use_exact_kl=None
            )
            value += tf.reduce_sum(prior.divergence(posterior))
            value += tf.reduce_sum(posterior.log_prob(posterior.mean()))
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(posterior.stddev()))
    assert np.all(np.isfinite(tape.gradient(value, params)))


@pytest.mark.parametrize("name", POSTERIORS)
def test_stays_float32_under_mixed_precision(name):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = layer_of("posterior", name, LATENTS)
        posterior = layer(tf.cast(params_for(layer), tf.bfloat16))
        assert posterior.mean().dtype == tf.float32
        assert tf.convert_to_tensor(posterior).dtype == tf.float32
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def test_the_seed_decides_the_draws_and_each_draw_is_new():
    params = params_for(tfp_vae.IndependentNormal)

    def draws(seed):
        layer = tfp_vae.IndependentNormal(LATENTS, seed=seed)
        return np.stack([tf.convert_to_tensor(layer(params)) for _ in range(2)])

    first = draws(seed=3)
    assert np.array_equal(first, draws(seed=3))
    assert not np.any(first == draws(seed=4))
    assert not np.any(first[0] == first[1])


def test_draws_have_the_posterior_s_mean_and_covariance():
    layer = tfp_vae.MultivariateNormalTriL(LATENTS, seed=0)
    params = params_for(layer, rows=1)
    draws = tf.convert_to_tensor(layer(np.repeat(params, 20_000, axis=0))).numpy()
    posterior = layer(params)
    error = 4 / np.sqrt(20_000)  # four standard errors of a unit variance
    variance = np.diag(posterior.covariance()[0])
    np.testing.assert_array_less(
        np.abs(draws.mean(axis=0) - posterior.mean()[0]), error * np.sqrt(variance)
    )
    allowed = error * np.sqrt(2 * np.outer(variance, variance))
    np.testing.assert_array_less(np.abs(np.cov(draws.T) - posterior.covariance()[0]), allowed)


def test_unknown_conversion_is_named():
    with pytest.raises(ValueError, match="'median': expected a callable or sample, mean"):
        tfp_vae.IndependentNormal(LATENTS, convert_to_tensor_fn="median")
