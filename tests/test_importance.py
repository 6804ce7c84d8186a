"""log p(x): identities, and a linear-Gaussian model whose log p(x) has a closed form."""

import numpy as np
import pytest
from helpers.models import SHAPE, linear_gaussian, small_vae

import tfp_vae
from tfp_vae.inference.batches import BATCH


@pytest.fixture(scope="module")
def images():
    """More than one batch, in [0, 1], so far from the mean that log p(x) is -1,000 and less."""
    return np.random.default_rng(1).random((BATCH + 40, *SHAPE))


@pytest.mark.parametrize("sigma", [0.3, 0.01])
def test_the_exact_posterior_gives_the_closed_form(sigma, images, tmp_path):
    model, log_density = linear_gaussian(tmp_path, sigma)
    expected = log_density(images)
    if sigma == 0.01:  # the weights' exponentials are zero in float64
        assert expected.max() < -800
    few = model.log_marginal_likelihood(images, num_samples=3, seed=0)
    np.testing.assert_allclose(few, expected, rtol=1e-5, atol=1e-3)
    many = model.log_marginal_likelihood(images[:30], num_samples=1000, seed=0)
    assert abs(many.mean() - expected[:30].mean()) < 0.01


def test_a_wrong_posterior_is_put_right_by_the_weights(images, tmp_path):
    model, log_density = linear_gaussian(tmp_path, 0.3, widened=1.5)
    expected = log_density(images)
    gaps = {
        k: expected.mean() - model.log_marginal_likelihood(images, num_samples=k, seed=0).mean()
        for k in (1, 1000)
    }
    assert gaps[1] > 0.2
    assert abs(gaps[1000]) < 0.01


def test_one_sample_is_the_elbo_on_average(model, grey_images):
    images, seeds = grey_images.round(), range(60)
    one = [model.log_marginal_likelihood(images, num_samples=1, seed=s).mean() for s in seeds]
    elbo = [model.elbo(images, seed=s).elbo.mean() for s in seeds]
    error = np.sqrt((np.var(one) + np.var(elbo)) / len(seeds))
    assert abs(np.mean(one) - np.mean(elbo)) < 4 * error
    assert np.std(one) > 0


def test_the_bound_rises_with_the_number_of_samples(model, grey_images):
    images = grey_images.round()
    bounds = [
        model.log_marginal_likelihood(images, num_samples=k, seed=0).mean()
        for k in (1, 10, 100, 1000)
    ]
    assert np.all(np.diff(bounds) > 0)


def test_a_seed_decides_it(model, grey_images):
    first, again, other = (
        model.log_marginal_likelihood(grey_images, num_samples=2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)


def test_a_deterministic_posterior_is_refused(grey_images, tmp_path):
    tfp_vae.export(small_vae(posterior="deterministic"), tmp_path)
    model = tfp_vae.load(tmp_path)
    with pytest.raises(ValueError, match="the posterior is deterministic"):
        model.log_marginal_likelihood(grey_images, num_samples=2, seed=0)
    with pytest.raises(ValueError, match="num_samples 0: expected an integer >= 1"):
        model.log_marginal_likelihood(grey_images, num_samples=0, seed=0)
