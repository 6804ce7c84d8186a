"""Models whose latents are codes: the bound, the contract, saving, and the prior."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from helpers.parts import CODES, name_of

import tfp_vae
from tfp_vae.layers import code_path
from tfp_vae.layers.code_path import CodePath
from tfp_vae.models.code_prior import CodePriorModel

FEW = {  # 4 codes of 4: all 256 latents can be listed
    "model": "vq_vae",
    "network": "conv",
    "filters": (4, 6),
    "codebook_size": 4,
    "code_size": 2,
    "prior_width": 16,
    "prior_blocks": 2,
}
ALL = np.array(list(itertools.product(range(4), repeat=4)), np.int32)


def made(images, image_shape=(8, 9, 1), **options):
    return small_vae(image_shape, latent_size=16, images=images, **options)


def fitted_prior(vae, images, epochs=3):
    model = CodePriorModel(vae)
    model.compile("adam")
    model.fit(images, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def few():
    images = np.random.default_rng(0).random((65, 8, 8, 1)).astype(np.float32).round()
    vae = made(images, (8, 8, 1), **FEW)
    vae.fit(images, epochs=3, verbose=0)
    return vae, images


def test_the_prior_sums_to_one_over_all_codes_before_and_after_it_is_fitted(few):
    vae, images = few
    model = tfp_vae.inference_model(vae)
    np.testing.assert_allclose(model.log_prior(ALL), -4 * np.log(4.0), rtol=1e-6)
    assert_bound_holds(model, images)
    fitted_prior(vae, images, epochs=20)
    log_prior = model.log_prior(ALL)
    assert np.exp(log_prior).sum() == pytest.approx(1.0, abs=1e-5)
    assert log_prior.std() > 0.1
    assert_bound_holds(model, images)


def assert_bound_holds(model, images):
    """`elbo` is log p(x|z) + log p(z) at the code of x, and below log p(x), a sum over all z."""
    codes, found = model.encode(images), model.elbo(images)
    of_codes = model.log_likelihood(images, codes) + model.log_prior(codes)
    np.testing.assert_allclose(found.elbo, of_codes, rtol=1e-5)
    np.testing.assert_allclose(found.kl, -model.log_prior(codes), rtol=1e-5)
    assert (model.sample_posterior(images, seed=1).log_posterior == 0.0).all()
    likelihoods = [model.log_likelihood(images, np.tile(z, (len(images), 1))) for z in ALL]
    joint = np.stack(likelihoods) + model.log_prior(ALL)[:, None]
    assert (found.elbo <= np.logaddexp.reduce(joint) + 1e-4).all()


def test_draws_of_a_fitted_prior_have_its_probabilities(few):
    vae, images = few
    fitted_prior(vae, images, epochs=20)
    model = tfp_vae.inference_model(vae)
    drawn = model.prior_sample(20_000, seed=3).latent
    counts = np.bincount(drawn @ [64, 16, 4, 1], minlength=256)
    expected = np.exp(model.log_prior(ALL).astype(np.float64)) * len(drawn)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 255 + 5 * np.sqrt(2 * 255)
    np.testing.assert_array_equal(drawn[:5], model.prior_sample(20_000, seed=3).latent[:5])


# The others are for `-m slow`.
SOME_CODES = [
    options if options["model"] == "vq_vae_2" else pytest.param(options, marks=pytest.mark.slow)
    for options in CODES
]


@pytest.mark.parametrize("options", SOME_CODES, ids=name_of)
def test_it_fits_saves_in_three_ways_and_fits_on(options, grey_images, tmp_path):
    vae = made(grey_images, **options)
    history = vae.fit(grey_images, batch_size=65, epochs=2, verbose=0).history
    assert {"loss", "elbo", "reconstruction_nll", "kl"} < set(history)
    usages = {name for name in history if name.startswith(("usage", "perplexity"))}
    assert len(usages) == (4 if options["model"] == "vq_vae_2" else 2)
    fitted_prior(vae, grey_images, epochs=1)
    vae.save(tmp_path / "model.keras")
    vae.save(tmp_path / "model", save_format="tf")
    vae.save_weights(tmp_path / "model.weights.h5")
    fresh = made(grey_images, **options)
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(tmp_path / "model.weights.h5")
    expected = vae.predict(grey_images, verbose=0)
    codes = tfp_vae.inference_model(vae).encode(grey_images)
    for path in ("model.keras", "model", None):
        loaded = tf_keras.models.load_model(tmp_path / path) if path else fresh
        assert type(loaded) is type(vae)
        np.testing.assert_array_equal(loaded.predict(grey_images, verbose=0), expected)
        np.testing.assert_array_equal(loaded.prior.log_prob(codes), vae.prior.log_prob(codes))
        loaded.fit(grey_images, batch_size=65, epochs=1, verbose=0)
        assert int(loaded.optimizer.iterations) == 6


def test_the_kl_of_two_levels_is_logged(grey_images):
    (options,) = (each for each in CODES if each["model"] == "vq_vae_2")
    vae = made(grey_images, **options)
    vae.fit(grey_images, batch_size=65, epochs=1, verbose=0)
    top, bottom = vae.path.sizes
    logs = vae.evaluate(grey_images, return_dict=True, verbose=0)
    assert logs["kl_2"] == pytest.approx(top * np.log(8.0), rel=1e-6)
    assert logs["kl_1"] == pytest.approx(bottom * np.log(8.0), rel=1e-6)
    fitted_prior(vae, grey_images, epochs=2)
    logs = vae.evaluate(grey_images, return_dict=True, verbose=0)
    each = -vae.prior.log_probs(vae._posterior_of(grey_images).mode()).numpy()
    assert logs["kl_2"] == pytest.approx(each[:, :top].sum(axis=1).mean(), rel=1e-5)
    assert logs["kl_1"] == pytest.approx(each[:, top:].sum(axis=1).mean(), rel=1e-5)
    assert logs["kl"] == pytest.approx(logs["kl_1"] + logs["kl_2"], rel=1e-6)
    assert logs["kl_2"] != pytest.approx(top * np.log(8.0), rel=1e-6)


@pytest.mark.parametrize("options", SOME_CODES[1:], ids=name_of)
def test_it_is_exported_and_its_numbers_agree(options, grey_images, tmp_path):
    images = grey_images.round()
    vae = made(images, **options)
    vae.fit(images, epochs=1, verbose=0)
    fitted_prior(vae, images, epochs=1)
    tfp_vae.export(vae, tmp_path)
    live, model = tfp_vae.inference_model(vae), tfp_vae.load(tmp_path)
    described = json.loads((tmp_path / "assets" / "tfp_vae.json").read_text())
    assert described["model"] == options["model"]
    assert described["posterior"] == options.get("quantizer", "vector")
    assert described["prior"] == "autoregressive"
    assert (described["latent_dtype"], described["codebook_size"]) == ("int32", 8)
    levels = sorted(set(described["latent_levels"]), reverse=True)
    assert levels == ([2, 1] if options["model"] == "vq_vae_2" else [0])
    assert set(model.signatures) == set(model.description.outputs)
    codes = model.encode(images)
    assert codes.dtype == np.int32
    assert codes.shape == (len(images), model.latent_size)
    for method in METHODS:
        np.testing.assert_allclose(method(live, images), method(model, images), atol=1e-6)
    np.testing.assert_array_equal(model.decode(codes), model.reconstruct(images))
    bound = model.elbo(images).elbo
    np.testing.assert_array_equal(model.log_marginal_likelihood(images, 7), bound)
    found = tfp_vae.evaluate(model, images)
    assert found.elbo.value == pytest.approx(bound.mean(), rel=1e-6)
    assert found.code_counts.sum() == codes.size


METHODS = [
    lambda model, images: model.encode(images),
    lambda model, images: model.reconstruct(images),
    lambda model, images: model.prior_sample(3, seed=1).image,
    lambda model, images: model.elbo(images, seed=1).elbo,
    lambda model, images: model.embed(model.encode(images)),
    lambda model, images: model.sample_image(model.encode(images), seed=1),
    lambda model, images: model.traverse(images[0], 1, [0, 3, 7]),
]


def test_what_codes_cannot_do_is_refused_in_one_line(few):
    model = tfp_vae.inference_model(few[0])
    image = few[1][0]
    for call, message in (
        (lambda: model.posterior(image[None]), "posterior: the latents of vq_vae are codes"),
        (lambda: model.interpolate(image, image, 3), "interpolate: the latents of vq_vae are"),
        (lambda: model.latent_direction(image[None], image[None]), "latent_direction: the lat"),
        (lambda: model.decode([[0, 1, 2, 4]]), "latents from 0 to 4: expected codes, integers"),
        (lambda: model.decode([[0, 1, 2, 0.5]]), r"latents from 0 to 2: expected codes, integers"),
        (lambda: model.decode([[0, 1]]), r"latents of shape \[1, 2\]: expected \[N, 4\]"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "dense"}, "network dense: model vq_vae has codes on a grid: expected conv"),
        ({"posterior": "flow"}, "posterior flow: not for model vq_vae, whose latents are codes"),
        ({"prior": "vamp"}, "prior vamp: not for model vq_vae, whose latents are codes"),
        ({"latent_size": 3}, "latent_size 3: not for model vq_vae, whose latents are codes"),
        ({"free_bits": 0.1}, "free_bits 0.1: not for model vq_vae, whose latents are codes"),
        ({"kl": "monte_carlo"}, "kl monte_carlo: that of codes has one form"),
        ({"objective": "iwae"}, "objective iwae, num_samples 1: an image has one code"),
        ({"num_samples": 2}, "objective elbo, num_samples 2: an image has one code"),
        ({"quantizer": "finite_scalar", "codebook_size": 11}, "codebook_size 11: expected a prod"),
        ({"quantizer": "finite_scalar", "code_size": 3}, "code_size 3: only for quantizer vector"),
        ({"quantizer": "round"}, "quantizer 'round': input should be 'vector' or 'finite_scalar'"),
        ({"prior_width": 48}, "prior_width 48: expected a multiple of 32, or a number below it"),
        ({"codebook_size": 1}, "codebook_size 1: input should be greater than or equal to 2"),
        ({"model": "vae"}, "codebook_size 8: only for model vq_vae, vq_vae_2, not vae"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(options, message):
    given = {"model": "vq_vae", "network": "conv", "codebook_size": 8, **options}
    with pytest.raises(ValueError, match=message) as raised:
        tfp_vae.build_vae((8, 9, 1), **given)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_bfloat16_networks_leave_the_codes_and_their_prior_as_they_are(grey_images, tmp_path):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        vae = made(grey_images, **CODES[0])
        history = vae.fit(grey_images, epochs=2, verbose=0).history
        fitted_prior(vae, grey_images, epochs=1)
        tfp_vae.export(vae, tmp_path)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"]).all()
    assert vae.path.quantizers[0].codebook.dtype == tf.float32
    coded = vae._posterior_of(grey_images)
    assert (coded.mode().dtype, coded.coded.embedded.dtype) == (tf.int32, tf.float32)
    of_float32 = made(grey_images, **CODES[0])
    of_float32.prior_layer.set_weights(vae.prior_layer.get_weights())
    log_prior = vae.prior.log_prob(coded.mode())
    np.testing.assert_array_equal(log_prior, of_float32.prior.log_prob(coded.mode()))


def test_the_prior_s_fit_checks_its_images_and_weighs_them(few):
    vae, images = few
    model = CodePriorModel(vae)
    model.compile(tf_keras.optimizers.SGD(0.0))
    for given, message in (
        ((255 * images).astype(np.uint8), "images of uint8: expected floats"),
        (255 * images, "images: float pixels from 0 to 255: expected 0..1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(given, verbose=0)
    weights = np.arange(65, dtype=np.float32)
    options = {"batch_size": 65, "sample_weight": weights, "verbose": 0}
    logs = model.fit(images, images, **options).history
    each = -np.array(model(images))
    assert logs["loss"] == [pytest.approx(np.mean(weights * each), rel=1e-5)]
    assert logs["kl"] == [pytest.approx(np.mean(each), rel=1e-5)]


def test_codes_start_from_few_images_at_a_time_where_there_are_many_codes(grey_images, monkeypatch):
    options = {**CODES[1], "images": grey_images[:20]}
    found, seen, quantize = [], [], CodePath.quantize

    def spied(self, features):
        if isinstance(features, np.ndarray):
            seen.append(len(features))
        return quantize(self, features)

    for at_once in (code_path.START_BYTES, 4 * 3 * 6 * 8):  # of 3 images, 6 positions, 8 codes
        tf_keras.utils.set_random_seed(0)
        with monkeypatch.context() as patched:
            patched.setattr(code_path, "START_BYTES", at_once)
            patched.setattr(CodePath, "quantize", spied)
            vae = small_vae(latent_size=16, **options)
        found.append([each.codebook.numpy() for each in vae.path.quantizers])
    assert seen[:2] == [20, 20] and max(seen[2:]) == 3
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_step_compiles_under_xla(grey_images):
    vae = made(grey_images, **CODES[1])
    vae.compile("adam", jit_compile=True)
    model = CodePriorModel(vae)
    model.compile("adam", jit_compile=True)
    for each in (vae, model):
        history = each.fit(grey_images, epochs=2, batch_size=65, verbose=0).history
        assert np.isfinite(history["loss"]).all()


def test_the_prior_s_cached_draws_are_those_of_whole_passes(few):
    """A sequence drawn with the cache has, at each position, the logits of the whole pass."""
    vae, images = few
    fitted_prior(vae, images, epochs=5)
    network, seed = vae.prior_layer.network, tf.constant([5, 6])
    drawn = network.sample(tf.constant(9), seed)
    codes = np.zeros((9, 4), np.int32)
    for position in range(4):
        logits = network(tf.constant(codes))[:, position]
        of_step = tf.random.experimental.stateless_fold_in(seed, position)
        codes[:, position] = tf.random.stateless_categorical(logits, 1, of_step, tf.int32)[:, 0]
    np.testing.assert_array_equal(drawn, codes)


def test_a_code_depends_on_those_before_it_alone(few):
    network = few[0].prior_layer.network
    fitted_prior(*few, epochs=2)
    codes = np.tile(np.array([[1, 2, 3, 0]], np.int32), (4, 1))
    changed = codes.copy()
    for position in range(4):
        changed[position, position] = (changed[position, position] + 1) % 4
    before, after = network(codes).numpy(), network(changed).numpy()
    for position in range(4):
        same = np.abs(after[position] - before[position]).max(axis=-1)
        assert (same[: position + 1] == 0.0).all()
        assert (same[position + 1 :] > 0.0).all()
