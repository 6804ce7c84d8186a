"""Evaluation: against NumPy in float64, closed forms and identities."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import linear_gaussian, small_vae
from scipy import special, stats

import tfp_vae
from tfp_vae.evaluation import aggregate
from tfp_vae.inference import importance


def random_posteriors(count, size, full, seed=0):
    """Means [N, D] and factors [N, D, D] that overlap, with scales from 0.2 to 1.2."""
    random = np.random.default_rng(seed)
    factors = np.einsum("ni,ij->nij", 0.2 + random.random((count, size)), np.eye(size))
    if full:
        factors += np.tril(0.5 * random.normal(size=(count, size, size)), -1)
    return random.normal(size=(count, size)), factors


def log_mixture(latents, means, factors):
    """One normal at a time, by SciPy: [M]."""
    components = [
        stats.multivariate_normal(m, f @ f.T).logpdf(latents)
        for m, f in zip(means, factors, strict=True)
    ]
    return special.logsumexp(components, axis=0) - np.log(len(means))


@pytest.mark.parametrize("full", [True, False])
def test_the_aggregate_posterior_against_scipy(full, monkeypatch):
    monkeypatch.setattr(aggregate, "BLOCK", 7)  # many blocks, the last of them not full
    means, factors = random_posteriors(40, 3, full)
    latents = 2.0 * np.random.default_rng(1).normal(size=(31, 3))
    found = aggregate.log_aggregate_posterior(latents, means, factors)
    np.testing.assert_allclose(found, log_mixture(latents, means, factors), rtol=1e-10)


def test_narrow_posteriors_far_from_the_prior_keep_their_precision():
    means, factors = random_posteriors(20, 3, full=True)
    means, factors = 30.0 * means, 1e-3 * factors
    found = aggregate.log_aggregate_posterior(means, means, factors)
    np.testing.assert_allclose(found, log_mixture(means, means, factors), atol=1e-3)


def test_memory_does_not_hold_every_pair(monkeypatch):
    monkeypatch.setattr(aggregate, "BLOCK", 100)
    means, factors = random_posteriors(2000, 4, full=True)
    tracemalloc.start()
    aggregate.log_aggregate_posterior(means, means, factors)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2000 * 2000 * 8 / 20


@pytest.fixture(scope="module", params=["multivariate_normal_tril", "independent_normal"])
def trained(request, grey_images, tmp_path_factory):
    vae = small_vae(posterior=request.param)
    vae.fit(grey_images, epochs=2, verbose=0)
    path = tmp_path_factory.mktemp("trained")
    tfp_vae.export(vae, path)
    return tfp_vae.load(path), grey_images.round(), request.param


def test_every_figure_against_numpy(trained):
    model, images, family = trained
    found = tfp_vae.evaluate(model, images, num_samples=20, seed=3)
    posterior = model.posterior(images)
    means, factors = np.float64(posterior.mean), np.float64(posterior.scale_tril)
    normals = [stats.multivariate_normal(m, f @ f.T) for m, f in zip(means, factors, strict=True)]
    noise = np.random.default_rng(3).standard_normal(means.shape)
    z = np.stack([m + f @ e for m, f, e in zip(means, factors, noise, strict=True)])
    own = np.array([normal.logpdf(row) for normal, row in zip(normals, z, strict=True)])
    mixture = log_mixture(z, means, factors)
    prior = stats.norm.logpdf(z).sum(axis=1)
    covariances = factors @ factors.swapaxes(1, 2)
    kl = 0.5 * (np.trace(covariances, axis1=1, axis2=2) + (means**2).sum(1) - means.shape[1])
    kl -= 0.5 * np.linalg.slogdet(covariances)[1]
    nll = -np.float64(model.log_likelihood(images, z))
    expected = {
        "elbo": -nll - kl,
        "reconstruction_nll": nll,
        "kl": kl,
        "monte_carlo_kl": own - prior,
        "mutual_information": own - mixture,
        "marginal_kl": mixture - prior,
    }
    for name, values in expected.items():
        reported = getattr(found, name)
        np.testing.assert_allclose(reported.value, values.mean(), rtol=1e-5, atol=1e-6)
        error = np.sqrt(((values - values.mean()) ** 2).sum() / (129 * 130))
        np.testing.assert_allclose(reported.standard_error, error, rtol=1e-4, atol=1e-7)
    identity = found.mutual_information.value + found.marginal_kl.value
    assert abs(identity - found.monte_carlo_kl.value) < 1e-9
    np.testing.assert_allclose(found.kl.value, model.elbo(images).kl.mean(), rtol=1e-5)
    by_dimension = found.kl_per_dimension.sum()
    if family == "independent_normal":
        np.testing.assert_allclose(by_dimension, kl.mean(), rtol=1e-6)
    assert found.full_covariance == (family == "multivariate_normal_tril")
    assert by_dimension <= kl.mean() + 1e-6  # what correlations add is never negative
    np.testing.assert_allclose(
        found.log_marginal_likelihood.value,
        model.log_marginal_likelihood(images, 20, seed=3).mean(),
    )
    bits = -found.log_marginal_likelihood.value / np.log(2.0) / 72
    np.testing.assert_allclose(found.bits_per_dimension.value, bits)
    assert found.refused == {}


def test_a_density_has_no_bits(grey_images):
    model = tfp_vae.inference_model(small_vae(likelihood="continuous_bernoulli"))
    found = tfp_vae.evaluate(model, grey_images, num_samples=2)
    assert found.bits_per_dimension is None
    assert found.refused == {"bits_per_dimension": "the likelihood is a density, not a probability"}


def test_the_weights_against_numpy(trained):
    """The same draws: 8 and 4 images, chunks of 64 draws, of which the last is not full."""
    model, images, _ = trained
    images = images[:12]
    encoded = model.posterior(images)
    estimates = importance.estimate(model, images, num_samples=100, seed=5)
    for start, count, size in ((0, 8, 64), (8, 4, 100)):
        rows = slice(start, start + count)
        seeds = [tf.random.experimental.stateless_fold_in([5, start], k) for k in (0, size)]
        chunks = [tf.random.stateless_normal([count, size, 4], seed) for seed in seeds]
        noise = np.float64(np.concatenate(chunks, axis=1)[:, :100])
        mean, factor = np.float64(encoded.mean[rows]), np.float64(encoded.scale_tril[rows])
        z = mean[:, np.newaxis] + np.einsum("nij,nsj->nsi", factor, noise)
        repeated = np.repeat(images[rows], 100, axis=0)
        log_weights = model.log_likelihood(repeated, z.reshape(-1, 4)).reshape(count, 100)
        log_weights = log_weights + 0.5 * (noise**2 - z**2).sum(-1)
        log_weights += np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(-1, keepdims=True)
        log_mean = special.logsumexp(log_weights, axis=1) - np.log(100)
        relative = np.exp(log_weights - log_mean[:, np.newaxis])
        found = estimates.log_marginal_likelihood[rows], estimates.standard_error[rows]
        np.testing.assert_allclose(found[0], log_mean, atol=1e-4)
        np.testing.assert_allclose(found[1], relative.std(axis=1) / 10.0, rtol=1e-3)


def test_the_estimate_is_within_its_stated_error_of_the_closed_form(tmp_path):
    """Two Monte Carlo standard errors hold 95%: 19 of 20 seeds, as expected of a normal error."""
    model, log_density = linear_gaussian(tmp_path, 0.3, widened=1.5)
    images = np.random.default_rng(1).random((30, 4, 4, 1))
    expected = log_density(images)
    within, scaled = 0, []
    for seed in range(20):
        found = tfp_vae.evaluate(model, images, num_samples=1000, seed=seed)
        error = found.log_marginal_likelihood.value - expected.mean()
        within += abs(error) < 2 * found.monte_carlo_error
        scaled.append(error / found.monte_carlo_error)
    assert within >= 19
    assert 0.5 < np.std(scaled) < 1.6  # neither far too wide
    spread = expected.std(ddof=1) / np.sqrt(30)
    np.testing.assert_allclose(found.log_marginal_likelihood.standard_error, spread, rtol=0.05)


def constructed(path, weights, scale=1.0):
    """Exports a model whose posterior mean is the first pixels times `weights`: a loaded model."""
    vae = tfp_vae.build_vae(
        (8, 8, 1), len(weights), hidden_units=(), posterior="independent_normal"
    )
    layer = vae.encoder.layers[-2]
    kernel, bias = (np.zeros_like(value) for value in layer.get_weights())
    kernel[range(len(weights)), range(len(weights))] = weights
    bias[len(weights) :] = np.log(np.expm1(scale))
    layer.set_weights([kernel, bias])
    tfp_vae.export(vae, path)
    return tfp_vae.load(path)


def test_active_units_are_those_whose_mean_varies(tmp_path):
    weights = np.array([0.0, 0.3, 0.36, 1.0])  # variances 0, 0.0075, 0.0108, 0.083 of uniforms
    model = constructed(tmp_path, weights)
    images = np.zeros((1000, 8, 8, 1))
    levels = (np.arange(1000) + 0.5) / 1000.0
    for pixel in range(4):
        images[:, 0, pixel, 0] = np.random.default_rng(pixel).permutation(levels)
    found = tfp_vae.evaluate(model, images, num_samples=1)
    np.testing.assert_allclose(found.mean_variance, weights**2 / 12, rtol=1e-4, atol=1e-9)
    assert found.active_units == 2


def test_equal_posteriors_have_no_mutual_information(tmp_path):
    model = constructed(tmp_path, np.zeros(4), scale=0.5)
    images = np.random.default_rng(0).random((50, 8, 8, 1)).round()
    found = tfp_vae.evaluate(model, images, num_samples=1)
    assert abs(found.mutual_information.value) < 1e-6
    np.testing.assert_allclose(found.marginal_kl.value, found.monte_carlo_kl.value, atol=1e-6)
    expected = 4 * (0.5 * (0.25 - 1.0) - np.log(0.5))  # q(z) is N(0, 0.5^2)
    np.testing.assert_allclose(found.kl.value, expected, rtol=1e-4)
    assert abs(found.marginal_kl.value - expected) < 4 * found.marginal_kl.standard_error


def test_posteriors_far_apart_tell_the_images_apart(tmp_path):
    model = constructed(tmp_path, np.full(4, 1000.0))
    images = np.random.default_rng(0).random((50, 8, 8, 1)).round(3)
    found = tfp_vae.evaluate(model, images, num_samples=1)
    np.testing.assert_allclose(found.mutual_information.value, np.log(50), atol=1e-3)


def test_a_deterministic_posterior_has_no_density(grey_images, tmp_path):
    tfp_vae.export(small_vae(posterior="deterministic"), tmp_path)
    model = tfp_vae.load(tmp_path)
    found = tfp_vae.evaluate(model, grey_images.round())
    assert "the posterior is deterministic: it has no density" in found.refused["elbo"]
    absent = ("elbo", "kl", "log_marginal_likelihood", "bits_per_dimension", "mutual_information")
    assert [getattr(found, name) for name in absent] == [None] * 5
    nll = model.elbo(grey_images.round()).reconstruction_nll.mean()
    np.testing.assert_allclose(found.reconstruction_nll.value, nll, rtol=1e-5)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (0, {}, "0 images: expected at least one"),
        (2, {"num_samples": 0}, "num_samples 0: expected an integer >= 1"),
        (2, {"seed": -1}, "seed -1: expected an integer from 0"),
    ],
)
def test_bad_arguments(count, options, message, trained):
    with pytest.raises(ValueError, match=message):
        tfp_vae.evaluate(trained[0], np.zeros((count, 8, 9, 1)), **options)


def test_grey_images_have_no_bits_under_a_bernoulli(trained, grey_images):
    found = tfp_vae.evaluate(trained[0], grey_images, num_samples=2)
    assert found.bits_per_dimension is None
    assert "zeros and ones only" in found.refused["bits_per_dimension"]
    assert np.isnan(tfp_vae.evaluate(trained[0], grey_images, num_samples=1).monte_carlo_error)
