"""The Gaussian mixture over latents: densities compared with SciPy, draws, and its file."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

from tfp_vae.errors import InputError
from tfp_vae.latent_space import mixture as mixtures

PRIOR = stats.multivariate_normal(np.full(3, 0.5), 2.0)  # not the standard normal
MODEL = SimpleNamespace(signatures={"log_prior"}, log_prior=PRIOR.logpdf)
CENTRES = np.array([[-3.0, 0.0, 0.0], [3.0, 1.0, 0.0]])


def latents(count, seed=0):
    """Two clusters, one of them three times as large."""
    random = np.random.default_rng(seed)
    chosen = (random.random(count) < 0.75).astype(int)
    return (CENTRES[chosen] + 0.5 * random.normal(size=(count, 3))).astype(np.float32)


@pytest.fixture(scope="module")
def mixture():
    return mixtures.fit(latents(2000), components=2, seed=0)


def test_it_finds_the_clusters(mixture):
    order = np.argsort(mixture.weights_)
    np.testing.assert_allclose(mixture.weights_[order], [0.25, 0.75], atol=0.05)
    np.testing.assert_allclose(mixture.means_[order], CENTRES, atol=0.1)


def test_the_log_likelihoods_are_those_of_scipy(mixture):
    held_out = latents(300, seed=1)
    parts = [
        np.log(weight) + stats.multivariate_normal(mean, covariance).logpdf(held_out)
        for weight, mean, covariance in zip(
            mixture.weights_, mixture.means_, mixture.covariances_, strict=True
        )
    ]
    prior, of_mixture = mixtures.log_likelihoods(mixture, held_out, MODEL)
    np.testing.assert_allclose(of_mixture, special.logsumexp(parts, axis=0).mean(), rtol=1e-6)
    np.testing.assert_allclose(prior, PRIOR.logpdf(held_out).mean(), rtol=1e-6)
    assert of_mixture > prior + 2


def test_a_model_without_a_density_has_no_prior_to_compare_with(mixture):
    plain = SimpleNamespace(signatures={"decode"})
    held_out = latents(30, seed=1)
    found = mixtures.log_likelihoods(mixture, held_out, plain)
    assert found.prior is None
    assert found.mixture == mixtures.log_likelihoods(mixture, held_out, MODEL).mixture


def test_draws_have_the_moments_of_the_mixture(mixture):
    z = mixtures.sample(mixture, 20_000, seed=0)
    assert z.dtype == np.float32
    mean = mixture.weights_ @ mixture.means_
    offsets = mixture.means_ - mean
    covariance = np.einsum("k,kij->ij", mixture.weights_, mixture.covariances_)
    covariance += np.einsum("k,ki,kj->ij", mixture.weights_, offsets, offsets)
    error = 4 * np.sqrt(np.diag(covariance) / len(z))
    assert np.all(np.abs(z.mean(axis=0) - mean) < error)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.15)
    first, second = z[:10_000, 0].mean(), z[10_000:, 0].mean()
    assert abs(first - second) < 1.5 * 4 * error[0]  # the clusters come mixed, not in turn


def test_a_seed_decides_the_draws(mixture):
    first, again, other = (mixtures.sample(mixture, 5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    assert mixtures.sample(mixture, 0, seed=0).shape == (0, 3)


@pytest.mark.parametrize("components", [0, 4])
def test_components_without_latents_are_refused(components):
    with pytest.raises(ValueError, match=f"components {components}: expected 1 to 3"):
        mixtures.fit(latents(3), components=components)


def test_equal_latents_are_one():
    with pytest.raises(InputError, match="components 3: expected 1 to 2"):
        mixtures.fit(np.repeat(latents(2), 5, axis=0), components=3)


def test_a_file_gives_the_same_mixture(mixture, tmp_path):
    path = tmp_path / "m.npz"
    mixtures.save(mixture, path, fingerprint="a/b")
    loaded = mixtures.load(path, fingerprint="a/b")
    found, expected = (mixtures.log_likelihoods(m, latents(50), MODEL) for m in (loaded, mixture))
    assert found == expected
    draws = mixtures.sample(mixture, 50, seed=0)
    np.testing.assert_array_equal(mixtures.sample(loaded, 50, seed=0), draws)


def rewritten(path, **changes):
    with np.load(path, allow_pickle=False) as file:  # which fails if any array is pickled
        arrays = {**file, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "other"}, "made with another model"),
        ({"means": None}, "no array means: another kind of file"),
        ({"means": np.zeros((2, 4))}, r"covariances has shape \(2, 3, 3\)"),
        ({"weights": np.zeros((2, 1))}, r"weights has shape \(2, 1\)"),
        ({"means": np.full((2, 3), np.nan)}, "means is damaged"),
        ({"means": np.zeros((2, 3), complex)}, "means is damaged"),
        ({"weights": np.ones(2)}, "weights are damaged"),
        ({"weights": np.array([-0.5, 1.5])}, "weights are damaged"),
        ({"covariances": -np.ones((2, 3, 3))}, "covariances are damaged"),
        ({"weights": np.full(2, "a")}, "weights is damaged"),
        (
            {
                "weights": np.zeros(0),
                "means": np.zeros((0, 3)),
                "covariances": np.zeros((0, 3, 3)),
                "precisions_cholesky": np.zeros((0, 3, 3)),
            },
            "weights is empty",
        ),
        ({"means": np.full((2, 3), {})}, "not a .npy or .npz of plain arrays"),
    ],
)
def test_another_file_is_refused(changes, message, mixture, tmp_path):
    path = tmp_path / "m.npz"
    mixtures.save(mixture, path, fingerprint="a/b")
    rewritten(path, **changes)
    with pytest.raises(InputError, match=f"{path}: {message}"):
        mixtures.load(path, fingerprint="a/b")


def test_rounded_weights_are_weights(mixture, tmp_path):
    mixtures.save(mixture, tmp_path / "m.npz", fingerprint="a/b")
    rewritten(tmp_path / "m.npz", weights=mixture.weights_ * (1 + 4e-7))
    loaded = mixtures.load(tmp_path / "m.npz", fingerprint="a/b")
    draws = mixtures.sample(mixture, 50, seed=0)
    np.testing.assert_array_equal(mixtures.sample(loaded, 50, seed=0), draws)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        mixtures.load(tmp_path / "none.npz", fingerprint="a/b")
