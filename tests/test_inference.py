"""`tfp_vae.load`: the methods against the Keras model and against one another."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import closed_form_kl, small_vae

import tfp_vae
from tfp_vae.inference.batches import BATCH
from tfp_vae.latent_space import paths as latent_paths


def many_images(count=2 * BATCH + 3):
    return np.random.default_rng(1).random((count, 8, 9, 1)).astype(np.float32)


def test_it_agrees_with_the_keras_model(trained, grey_images):
    vae, model = trained
    assert (model.image_shape, model.latent_size) == ((8, 9, 1), 4)
    posterior = model.posterior(grey_images)
    expected = vae.encoder(grey_images)
    np.testing.assert_allclose(posterior.mean, expected.mean(), atol=1e-6)
    np.testing.assert_allclose(posterior.stddev, expected.stddev(), atol=1e-6)
    covariance = posterior.scale_tril @ np.swapaxes(posterior.scale_tril, 1, 2)
    np.testing.assert_allclose(covariance, expected.covariance(), atol=1e-6)
    np.testing.assert_array_equal(model.encode(grey_images), posterior.mean)
    reconstruction = vae.predict(grey_images, verbose=0)
    np.testing.assert_allclose(model.reconstruct(grey_images), reconstruction, atol=1e-6)
    np.testing.assert_allclose(model.decode(posterior.mean), reconstruction, atol=1e-6)
    z = np.random.default_rng(0).normal(size=(130, 4)).astype(np.float32)
    expected = vae.decoder(z).log_prob(grey_images)
    np.testing.assert_allclose(model.log_likelihood(grey_images, z), expected, rtol=1e-5)


def test_batches_give_the_numbers_of_one_call(model):
    images, z = many_images(), np.random.default_rng(2).normal(size=(2 * BATCH + 3, 4))
    z = z.astype(np.float32)
    call = model.signatures
    pairs = [
        (model.encode(images), call["encode"](image=images)["mean"]),
        (model.posterior(images).scale_tril, call["encode"](image=images)["scale_tril"]),
        (model.decode(z), call["decode"](latent=z)["mean"]),
        (model.reconstruct(images), call["serving_default"](image=images)["reconstruction"]),
        (
            model.log_likelihood(images, z),
            call["log_likelihood"](image=images, latent=z)["log_likelihood"],
        ),
    ]
    for ours, once in pairs:
        np.testing.assert_allclose(ours, once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_any_number_of_images_even_none(network, tmp_path):
    tfp_vae.export(small_vae(network=network), tmp_path)
    model = tfp_vae.load(tmp_path)
    for n in (0, 1, BATCH + 1):
        images, z = many_images(n), np.zeros((n, 4))
        shapes = {
            "posterior": [part.shape for part in model.posterior(images)],
            "encode": model.encode(images).shape,
            "decode": model.decode(z).shape,
            "vectors": model.vectors(z).shape,
            "reconstruct": model.reconstruct(images).shape,
            "sample": model.sample(n, seed=0).shape,
            "log_likelihood": model.log_likelihood(images, z).shape,
            "elbo": [part.shape for part in model.elbo(images, seed=0)],
            "log p(x)": model.log_marginal_likelihood(images, num_samples=2, seed=0).shape,
        }
        assert shapes == {
            "posterior": [(n, 4), (n, 4), (n, 4, 4)],
            "encode": (n, 4),
            "decode": (n, 8, 9, 1),
            "vectors": (n, 4),
            "reconstruct": (n, 8, 9, 1),
            "sample": (n, 8, 9, 1),
            "log_likelihood": (n,),
            "elbo": [(n,)] * 3,
            "log p(x)": (n,),
        }


def test_images_of_every_kind(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 9, 1)).astype(np.uint8)
    expected = model.encode((pixels / 255.0).astype(np.float32))
    np.save(tmp_path / "x.npy", pixels)
    kinds = [
        pixels,
        tf.constant(pixels),
        pixels / 255.0,
        tf.constant(pixels / 255.0),
        (pixels / 255.0).tolist(),
        np.load(tmp_path / "x.npy", mmap_mode="r"),
    ]
    for images in kinds:
        np.testing.assert_allclose(model.encode(images), expected, atol=1e-6)
    np.testing.assert_array_equal(model.encode(pixels), model.encode(tf.constant(pixels)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(np.zeros((2, 9, 8, 1))), r"\[2, 9, 8, 1\]: expected \[N, 8, 9, 1\]"),
        (lambda m: m.encode(np.zeros((8, 9, 1))), r"\[8, 9, 1\]: expected \[N, 8, 9, 1\]"),
        (lambda m: m.encode(np.zeros((2, 8, 9, 1), int)), "int64 images: expected floats"),
        (lambda m: m.encode(np.full((2, 8, 9, 1), 1.5)), "from 1.5 to 1.5: expected 0..1"),
        (lambda m: m.encode(np.full((2, 8, 9, 1), -0.1)), "from -0.1 to -0.1: expected 0..1"),
        (lambda m: m.encode(np.full((2, 8, 9, 1), np.nan)), "no NaN"),
        (lambda m: m.encode(np.ones((2, 8, 9, 1), np.uint8)), "0 and 1 only: expected 0..255"),
        (lambda m: m.traverse(np.zeros((2, 8, 9, 1)), 0, [0]), r"expected \[8, 9, 1\]"),
        (lambda m: m.traverse(np.zeros((8, 9, 1)), 4, [0]), "dimension 4: expected 0..3"),
        (lambda m: m.decode(np.zeros((2, 5))), r"latents of shape \[2, 5\]: expected \[N, 4\]"),
        (lambda m: m.log_likelihood(np.zeros((2, 8, 9, 1)), np.zeros((3, 4))), "2 images, 3 lat"),
        (lambda m: m.sample(-1, seed=0), "n -1: expected an integer >= 0"),
        (lambda m: m.sample(1, seed=-1), "seed -1: expected an integer from 0 to 2147483647"),
        (lambda m: m.sample(1, seed=1.5), "seed 1.5: expected an integer"),
        (lambda m: m.elbo(np.zeros((1, 8, 9, 1)), seed=2**31), "seed 2147483648: expected"),
        (lambda m: m.interpolate(*np.zeros((2, 8, 9, 1)), steps=1), "steps 1: expected an"),
        (lambda m: m.latent_direction(np.zeros((0, 8, 9, 1)), np.zeros((1, 8, 9, 1))), "no imag"),
        (lambda m: m.apply_direction(np.zeros((8, 9, 1)), np.zeros(5), [1]), r"expected \[N, 4\]"),
        (lambda m: m.apply_direction(np.zeros((8, 9, 1)), np.zeros((2, 4)), [1]), "2 directions: "),
        (lambda m: m.apply_direction(np.zeros((8, 9, 1)), np.zeros(4), ["a"]), "strengths: expect"),
        (lambda m: m.traverse(np.zeros((8, 9, 1)), 0.5, [0]), "dimension 0.5: expected 0..3"),
        (lambda m: m.traverse(np.zeros((8, 9, 1)), 0, ["a"]), "values: expected numbers"),
        (lambda m: m.traverse(np.zeros((8, 9, 1)), 0, [np.inf]), "values .* finite numbers"),
        (lambda m: m.encode(np.zeros((2, 8, 9, 1), np.longdouble)), "images: expected floats"),
        (lambda m: m.encode([[1], [1, 2]]), "images: expected an array"),
        (lambda m: m.decode([["a"] * 4]), "latents of <U1: expected numbers"),
        (lambda m: m.decode(np.full((1, 4), np.nan)), "latents with NaN or infinity: expected fin"),
        (lambda m: m.log_prior(np.full((1, 4), 1e300)), "latents with NaN or infinity"),
        (lambda m: m.log_likelihood(np.zeros((1, 8, 9, 1)), [[np.inf] * 4]), "latents with NaN or"),
        (lambda m: m.sample(2**31 - 1, seed=0), "of 2147483647: arrays of .* expected at most"),
        (lambda m: m.log_marginal_likelihood(np.zeros((1, 8, 9, 1)), 2**31), "below 2147483648"),
    ],
)
def test_bad_input_is_refused_in_one_line(call, message, model):
    with pytest.raises(ValueError, match=message) as raised:
        call(model)
    assert "\n" not in str(raised.value)


def test_a_seed_decides_the_samples(model):
    n = BATCH + 10
    first, again, other = (model.prior_sample(n, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(model.sample(n, seed=3), first.image)
    assert not np.any(np.isclose(first.latent, other.latent).all(axis=1))
    assert len(np.unique(first.latent, axis=0)) == n  # the second batch is not the first again
    np.testing.assert_allclose(model.decode(first.latent), first.image, atol=1e-6)


def test_the_latents_of_samples_are_standard_normal(model):
    z = model.prior_sample(10_000, seed=0).latent.astype(np.float64)
    error = 4 / np.sqrt(len(z))
    assert np.all(np.abs(z.mean(axis=0)) < error)
    covariance = np.cov(z.T)
    assert np.all(np.abs(np.diag(covariance) - 1) < np.sqrt(2) * error)
    assert np.all(np.abs(covariance - np.diag(np.diag(covariance))) < error)


def test_the_terms_of_the_elbo(trained):
    vae, model = trained
    images = many_images().round()
    terms, again, other = (model.elbo(images, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_allclose(terms.elbo, -terms.reconstruction_nll - terms.kl, rtol=1e-6)
    np.testing.assert_allclose(terms.kl, closed_form_kl(vae.encoder(images)), rtol=1e-4)
    np.testing.assert_array_equal(terms.elbo, again.elbo)
    assert np.all(terms.reconstruction_nll != other.reconstruction_nll)


@pytest.mark.parametrize("spherical", [False, True])
def test_an_interpolation_ends_at_the_reconstructions(spherical, model, grey_images):
    a, b = grey_images[:2]
    images = model.interpolate(a, b[np.newaxis], steps=5, spherical=spherical)
    ends = model.reconstruct(grey_images[:2])
    np.testing.assert_allclose(images[[0, -1]], ends, atol=1e-6)
    z = model.encode(grey_images[:2]).astype(np.float64)
    middle = z.mean(axis=0)
    if spherical:  # the arc's middle has the direction of the sum of the two unit vectors
        lengths = np.linalg.norm(z, axis=1, keepdims=True)
        cosine = np.prod(z / lengths, axis=0).sum()
        middle = z.sum(axis=0) / (2 * np.cos(np.arccos(cosine) / 2))
    np.testing.assert_allclose(images[2], model.decode([middle])[0], atol=1e-5)


def test_the_arc_keeps_the_length_and_the_angles_even():
    a, b = np.array([3.0, 0.0, 0.0]), np.array([0.0, 3.0, 0.0])
    path = latent_paths.spherical(a, b, steps=4)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 3.0)
    np.testing.assert_allclose(np.arctan2(path[:, 1], path[:, 0]), np.pi / 2 * np.arange(4) / 3)


@pytest.mark.parametrize("b", [[2.0, 4.0], [-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
def test_without_an_arc_the_path_is_straight(b):
    a, b = np.array([1.0, 2.0]), np.array(b)
    for start, stop in ((a, b), (b, a)):
        path = latent_paths.spherical(start, stop, steps=3)
        np.testing.assert_allclose(path, [start, (start + stop) / 2, stop], atol=1e-12)


def test_a_traversal_sets_one_latent(model, grey_images):
    z = model.encode(grey_images[:1])
    values = [-2.0, z[0, 2], 3.0]
    images = model.traverse(grey_images[0], 2, values)
    expected = np.repeat(z, 3, axis=0)
    expected[:, 2] = values
    np.testing.assert_allclose(images, model.decode(expected), atol=1e-6)
    np.testing.assert_allclose(images[1], model.reconstruct(grey_images[:1])[0], atol=1e-6)


def test_a_direction_leads_from_without_to_with(model, grey_images):
    without, present = grey_images[:1], grey_images[1:2]
    direction = model.latent_direction(present, without)
    images = model.apply_direction(without[0], direction, [0.0, 1.0])
    np.testing.assert_allclose(images, model.reconstruct(grey_images[:2]), atol=1e-5)
    z = model.encode(grey_images)
    np.testing.assert_allclose(
        model.latent_direction(grey_images[:30], grey_images[30:]),
        z[:30].mean(axis=0) - z[30:].mean(axis=0),
        atol=1e-6,
    )
