"""The linear path: a model that starts as probabilistic PCA, by identity with scikit-learn's."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from sklearn.decomposition import PCA

import tfp_vae
from tfp_vae.layers import POSTERIORS
from tfp_vae.models.linear_path import LinearPath
from training.config import Config
from training.data.split import Split
from training.run.start_images import start_images

SHAPE = (8, 9, 1)


@pytest.fixture(scope="module")
def images():
    """Images [200, 8, 9, 1] of five directions and noise, none of them in every pixel alike."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(5, 72)) * np.linspace(0.5, 1.5, 72)
    pixels = 0.5 + 0.05 * rng.normal(size=(200, 5)) @ directions + 0.03 * rng.normal(size=(200, 72))
    return (pixels + 0.1 * rng.random(72)).reshape(200, *SHAPE).astype(np.float32)


def pca_score(images, latents):
    rows = images.reshape(len(images), -1).astype(np.float64)
    return PCA(latents, svd_solver="full").fit(rows).score(rows)


def elbo(vae, images):
    vae.compile("sgd")
    return vae.evaluate(images, batch_size=100, verbose=0, return_dict=True)["elbo"]


@pytest.mark.parametrize("latents", [3, 8])
@pytest.mark.parametrize("posterior", ["multivariate_normal_tril", "independent_normal", "flow"])
def test_before_training_the_elbo_is_the_log_likelihood_of_pca(posterior, latents, images):
    """The posterior is exact, so that every draw gives the same log p(x): no variance."""
    vae = small_vae(
        SHAPE,
        latent_size=latents,
        posterior=posterior,
        likelihood="independent_normal",
        kl="monte_carlo",
        images=images,
    )
    assert elbo(vae, images) == pytest.approx(pca_score(images, latents), abs=2e-3)


@pytest.mark.parametrize("scale", ["shared", "per_pixel"])
@pytest.mark.parametrize("likelihood", ["independent_normal", "discretized_logistic"])
def test_likelihoods_start_at_its_means_and_its_noise(likelihood, scale, images):
    images = images.clip(0, 1)
    vae = small_vae(
        SHAPE, latent_size=5, likelihood=likelihood, likelihood_scale=scale, images=images
    )
    fitted = PCA(5, svd_solver="full").fit(images.reshape(200, -1))
    latents = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    factors = np.sqrt(fitted.explained_variance_ - fitted.noise_variance_)
    pixels = vae.decoder(latents).distribution
    each = vae.decoder(np.eye(5)).distribution.loc.numpy().reshape(5, 72)
    signs = np.sign(np.sum(each * fitted.components_, axis=1))  # a component may have either
    expected = fitted.mean_ + (latents * signs * factors) @ fitted.components_
    np.testing.assert_allclose(np.reshape(pixels.loc, (7, 72)), expected, atol=1e-4)
    deviation = np.sqrt(fitted.noise_variance_)
    if likelihood == "discretized_logistic":
        deviation *= np.sqrt(3) / np.pi
    np.testing.assert_allclose(pixels.scale, deviation, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 4, 50])
def test_few_images_leave_the_other_latents_at_the_prior(count, images):
    few = images[:count]
    vae = small_vae(SHAPE, latent_size=6, likelihood="independent_normal", images=few)
    posterior = vae.encoder(images, training=False)
    used = min(6, count - 1)
    np.testing.assert_allclose(posterior.mean()[:, used:], 0, atol=1e-5)
    np.testing.assert_allclose(posterior.stddev()[:, used:], 1, atol=1e-5)
    assert np.all(posterior.stddev()[:, :used] < 0.99)
    assert np.isfinite(elbo(vae, images))


def test_few_images_of_many_pixels_have_the_noise_that_maximises_their_likelihood(images):
    """scikit-learn divides by the number of images, where that is smaller."""
    few = images[:20]
    path = LinearPath.of(few, 4)
    rows = few.reshape(20, -1)
    eigenvalues = np.linalg.eigvalsh(np.cov(rows, rowvar=False))
    assert path.deviation**2 == pytest.approx(eigenvalues[:-4].mean(), rel=1e-4)


def test_images_that_are_all_alike_are_finite():
    alike = np.full((20, *SHAPE), 0.3, np.float32)
    vae = small_vae(SHAPE, likelihood="independent_normal", images=alike)
    assert np.isfinite(elbo(vae, alike))
    np.testing.assert_allclose(vae(alike).mean(), alike, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "encoder", "decoder"),
    [
        ({"likelihood": "independent_normal"}, 1, 1),
        ({"likelihood": "independent_normal", "posterior": "deterministic"}, 1, 1),
        ({"likelihood": "independent_normal", "posterior_scale": 0.5}, 1, 1),
        ({"likelihood": "continuous_bernoulli"}, 1, 0),  # its parameters are logits
        ({"likelihood": "independent_bernoulli"}, 0, 0),  # the network of the published figures
        ({"likelihood": "independent_normal", "sparsity": 0.1}, 0, 0),
        ({"likelihood": "independent_normal", "active_units": 2}, 0, 0),
        ({"likelihood": "independent_normal", "model": "hierarchical"}, 0, 0),
        ({"likelihood": "independent_normal", "network": "conv"}, 0, 0),
        ({"likelihood": "independent_normal", "network": "resnet"}, 0, 0),
    ],
)
def test_which_models_have_it(options, encoder, decoder, images):
    if "posterior_scale" in options:
        options = {"posterior": "independent_normal", **options}
    if {"sparsity", "active_units"} & set(options):
        options = {"posterior": "deterministic", **options}
    images = images.clip(0, 1)

    def values(**given):
        vae = small_vae(SHAPE, **options, **given)
        return [
            sum(weight.shape.num_elements() for weight in part.trainable_weights)
            for part in (vae.encoder, vae.decoder)
        ]

    binary = options["likelihood"] == "independent_bernoulli"
    images = images.round() if binary else images
    without, found = values(), values(images=images)
    assert (found[0] > without[0], found[1] > without[1]) == (bool(encoder), bool(decoder))


def test_it_is_trained_saved_and_exported(tmp_path, images):
    images = images.clip(0, 1)
    vae = small_vae(SHAPE, likelihood="independent_normal", images=images)
    before = elbo(vae, images)
    vae.compile(tf_keras.optimizers.Adam(1e-3))
    vae.fit(images, batch_size=20, epochs=10, verbose=0)
    after = vae.evaluate(images, verbose=0, return_dict=True)["elbo"]
    assert after > before - 3  # five directions are all there is to learn
    vae.save_weights(tmp_path / "weights.h5")
    again = small_vae(SHAPE, likelihood="independent_normal", images=images)
    again.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(again(images).mean(), vae(images).mean())
    vae.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images).mean(), vae(images).mean(), atol=1e-5)
    tfp_vae.export(vae, tmp_path / "model")
    latents = vae.encoder(images, training=False).mean()
    np.testing.assert_allclose(tfp_vae.load(tmp_path / "model").encode(images), latents, atol=1e-5)


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_posterior_around_0_has_the_scales_that_it_is_given(name):
    layer = POSTERIORS[name].load()(3)
    stddev = np.array([0.2, 1.0, 0.01])
    posterior = layer.make_distribution(layer.centred(stddev)[np.newaxis].astype(np.float32))
    np.testing.assert_allclose(posterior.mean(), np.zeros((1, 3)), atol=1e-6)
    expected = stddev if layer.has_density else np.zeros(3)
    np.testing.assert_allclose(posterior.stddev()[0], expected, rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(
    ("likelihood", "network", "shape", "count"),
    [
        ("independent_normal", "dense", (2, 2, 1), 4000),
        ("independent_normal", "dense", (256, 128, 1), 2048),  # a quarter of a gigabyte
        ("independent_bernoulli", "dense", (2, 2, 1), 1000),
        ("independent_normal", "resnet", (8, 8, 1), 1000),
        ("independent_normal", "resnet", (512, 512, 3), 100),  # as a VampPrior may take
    ],
)
def test_a_run_starts_from_so_many_of_its_images(likelihood, network, shape, count):
    asked = []

    class Images(Split):
        def head(self, count):
            asked.append(count)
            return tf.zeros([1, *self.shape], tf.uint8)

    start_images(Images(5000, shape, pixels=()), Config(likelihood=likelihood, network=network))
    assert asked == [count]
