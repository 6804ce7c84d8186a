import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import closed_form_kl, small_vae
from helpers.parts import EXACT_KL

import tfp_vae

tfd, tfpl = tfp.distributions, tfp.layers


@pytest.mark.parametrize("name", EXACT_KL)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_kl_counts_once_as_the_mean_over_the_batch(name, batch, grey_images):
    vae = small_vae(posterior=name)
    images = grey_images[:batch]
    expected = closed_form_kl(vae.encoder(images)).mean()
    np.testing.assert_allclose(sum(vae.encoder.losses), expected, rtol=1e-5)
    logs = vae.evaluate(images, batch_size=64, return_dict=True, verbose=0)
    np.testing.assert_allclose(logs["kl"], expected, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"] - logs["reconstruction_nll"], expected, rtol=1e-4)


@pytest.mark.parametrize("name", EXACT_KL)
def test_the_kl_counts_once_in_fit(name, grey_images):
    vae = small_vae(posterior=name)
    vae.compile(tf_keras.optimizers.SGD(0.0))  # the weights stay, so that the KL is known
    expected = closed_form_kl(vae.encoder(grey_images)).mean()
    history = vae.fit(grey_images, batch_size=32, epochs=1, verbose=0).history
    np.testing.assert_allclose(history["kl"], [expected], rtol=1e-5)
    total = history["reconstruction_nll"][0] + expected
    np.testing.assert_allclose(history["loss"], [total], rtol=1e-5)
    np.testing.assert_allclose(history["elbo"], [-total], rtol=1e-5)


@pytest.mark.parametrize("name", EXACT_KL)
def test_the_kl_in_mixed_precision(name, grey_images):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        vae = small_vae(posterior=name)
        expected = closed_form_kl(vae.encoder(grey_images)).mean()
        np.testing.assert_allclose(sum(vae.encoder.losses), expected, rtol=1e-3)
        logs = vae.evaluate(grey_images, batch_size=130, return_dict=True, verbose=0)
        np.testing.assert_allclose(logs["kl"], expected, rtol=1e-3)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


def test_the_stock_regularizer_counts_twice_and_ours_once():
    """The reason for this package: if TFP is repaired, this says so."""
    prior = tfd.MultivariateNormalDiag(tf.zeros(2))
    params = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    stock = tfpl.MultivariateNormalTriL(
        2, activity_regularizer=tfpl.KLDivergenceRegularizer(prior, use_exact_kl=True)
    )
    ours = tfp_vae.MultivariateNormalTriL(
        2, activity_regularizer=tfp_vae.KLDivergenceRegularizer(prior, use_exact_kl=True)
    )
    expected = closed_form_kl(ours(params)).mean()
    stock(params)
    np.testing.assert_allclose(sum(ours.losses), expected, rtol=1e-5)
    np.testing.assert_allclose(sum(stock.losses), 2 * expected, rtol=1e-4)


@pytest.mark.parametrize("name", EXACT_KL)
def test_monte_carlo_kl_is_the_exact_kl_on_average(name):
    layer = {
        "multivariate_normal_tril": tfp_vae.MultivariateNormalTriL,
        "independent_normal": tfp_vae.IndependentNormal,
    }[name](3, seed=0)
    params = np.random.default_rng(1).normal(size=(1, int(layer.params_size(3))))
    posterior = layer(np.repeat(params, 10_000, axis=0).astype(np.float32))
    prior = tfp_vae.StandardNormal(3)
    exact = tfp_vae.KLDivergenceRegularizer(prior, use_exact_kl=True).divergence(posterior)
    draws = tfp_vae.KLDivergenceRegularizer(prior).divergence(posterior).numpy()
    standard_error = draws.std(ddof=1) / np.sqrt(len(draws))
    assert abs(draws.mean() - exact.numpy().mean()) < 3 * standard_error


@pytest.mark.parametrize(
    "prior",
    [
        tfd.MultivariateNormalDiag(tf.zeros(3)),
        tfd.Independent(tfd.Normal(tf.zeros(3), 1.0), 1),
        tfd.MultivariateNormalTriL(tf.zeros(3), scale_tril=tf.eye(3)),
    ],
    ids=lambda prior: prior.name,
)
def test_every_way_to_write_a_normal_prior_has_the_same_exact_kl(prior):
    regularizer = tfp_vae.KLDivergenceRegularizer(prior, use_exact_kl=True)
    for layer in (tfp_vae.MultivariateNormalTriL(3), tfp_vae.IndependentNormal(3)):
        size = int(layer.params_size(3))
        posterior = layer(np.random.default_rng(0).normal(size=(5, size)).astype(np.float32))
        expected = closed_form_kl(posterior)
        np.testing.assert_allclose(regularizer.divergence(posterior), expected, rtol=1e-5)


def test_several_draws_are_averaged_and_the_batch_still_is():
    prior = tfp_vae.StandardNormal(2)
    layer = tfp_vae.IndependentNormal(
        2,
        convert_to_tensor_fn=lambda posterior: posterior.sample(5000, seed=1),
        activity_regularizer=tfp_vae.KLDivergenceRegularizer(
            prior, test_points_reduce_axis=0, weight=3.0
        ),
    )
    posterior = layer(np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32))
    np.testing.assert_allclose(sum(layer.losses), 3 * closed_form_kl(posterior).mean(), rtol=0.02)


def test_the_weight_moves_inside_a_compiled_training_step(grey_images):
    vae = small_vae()
    vae.compile(tf_keras.optimizers.SGD(0.0))
    for weight in (0.0, 0.5, 2.0):
        vae.kl_weight.assign(weight)
        logs = vae.evaluate(grey_images, return_dict=True, verbose=0)
        expected = logs["reconstruction_nll"] + weight * logs["kl"]
        np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(
            logs["elbo"], -logs["reconstruction_nll"] - logs["kl"], rtol=1e-5
        )


def test_its_config_holds_the_prior_and_the_weight_now():
    prior = tfd.MultivariateNormalDiag([1.0, -1.0], scale_diag=[0.5, 2.0])
    regularizer = tfp_vae.KLDivergenceRegularizer(prior, use_exact_kl=True, weight=0.25)
    regularizer.weight.assign(0.75)
    again = tfp_vae.KLDivergenceRegularizer.from_config(regularizer.get_config())
    assert (float(again.weight), again.use_exact_kl) == (0.75, True)
    np.testing.assert_array_equal(again.distribution_b.mean(), [1.0, -1.0])
    np.testing.assert_array_equal(again.distribution_b.stddev(), [0.5, 2.0])


def test_what_cannot_be_saved_is_named():
    own_points = tfp_vae.KLDivergenceRegularizer(
        tfp_vae.StandardNormal(2), test_points_fn=lambda q: q.mean()
    )
    with pytest.raises(ValueError, match="test_points_fn cannot be saved"):
        own_points.get_config()
