"""What every part of every registry must do; a new part is tested here through its case."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from helpers.parts import (
    CASES,
    COMBINED,
    EACH_PART,
    EVERY_PAIR,
    HIERARCHIES,
    MODELS,
    cases,
    goes_together,
    name_of,
)

import tfp_vae
from tfp_vae.models import PARTS

SEEDS = 40  # draws of a bound, to compare it with another


def test_every_part_has_a_case():
    assert {kind: list(registry) for kind, registry in PARTS.items()} == {
        kind: list(parts) for kind, parts in {"model": MODELS, **CASES}.items()
    }


def test_every_pair_of_parts_is_among_the_models():
    for one, other in itertools.combinations(COMBINED, 2):
        for mine, theirs in itertools.product(CASES[one], CASES[other]):
            if (one, other) == ("posterior", "prior") and not goes_together(mine, theirs):
                continue
            both = {one: mine, other: theirs}
            assert any(both.items() <= options.items() for options in EVERY_PAIR), both
    for case in itertools.chain.from_iterable(map(cases, COMBINED)):
        assert any(case.items() <= options.items() for options in EVERY_PAIR), case


def test_options_with_one_name_are_one_object():
    for registry in PARTS.values():
        for part in registry.values():
            for key, option in part.options.items():
                assert registry.options[key] is option, key


def assert_same_model(loaded, vae, images):
    """The same class, reconstructions, losses, KL weight, prior and optimizer state."""
    assert type(loaded) is type(vae)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), vae.predict(images, verbose=0))
    for mine, theirs in zip(vae.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert loaded.kl_form == vae.kl_form
    assert (loaded.objective, loaded.num_samples) == (vae.objective, vae.num_samples)
    assert type(loaded.prior_layer) is type(vae.prior_layer)
    z = np.random.default_rng(0).normal(size=(7, vae.prior_layer.latent_size)).astype(np.float32)
    np.testing.assert_array_equal(loaded.prior.log_prob(z), vae.prior.log_prob(z))
    assert (vae.kl_weight is None) == (loaded.kl_weight is None)
    if vae.kl_weight is not None:
        assert float(loaded.kl_weight) == float(vae.kl_weight)
        posterior = loaded.encoder(images)
        losses = sum(loaded.encoder.losses)
        kl = loaded.divergence(posterior, tf.convert_to_tensor(posterior))
        regularizers = [each.encoder.layers[-1].activity_regularizer for each in (vae, loaded)]
        assert regularizers[0].free_bits == regularizers[1].free_bits
        expected = regularizers[0].penalty(posterior, kl)
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


WITH_MONTE_CARLO = [{**case, "beta": 0.5, "kl": "monte_carlo"} for case in cases("posterior")]
# The default tests have one of a kind; those of the pairs have `.keras` files of more of them.
SHORT = {
    "network": ("dense",),
    "posterior": ("independent_normal", "flow", "deterministic"),
    "prior": ("vamp",),
    "likelihood": ("discretized_logistic",),
    "objective": ("dreg",),
}
FIRST = [{kind: name, **CASES[kind][name][0]} for kind, names in SHORT.items() for name in names]
FIRST = [*FIRST, WITH_MONTE_CARLO[0], HIERARCHIES[0]]


def the_others_are_slow(several, first=FIRST):
    return [
        options if options in first else pytest.param(options, marks=pytest.mark.slow)
        for options in several
    ]


# Two thirds of the pairs are for `-m slow`.
PAIRS = [
    pytest.param(options, marks=pytest.mark.slow) if index % 3 else options
    for index, options in enumerate(EVERY_PAIR)
]
HIERARCHICAL = the_others_are_slow(HIERARCHIES)


@pytest.mark.parametrize("options", [*PAIRS, *HIERARCHICAL], ids=name_of)
def test_every_pair_builds_fits_saves_loads_and_fits_on(options, grey_images, tmp_path):
    vae = small_vae(**options)
    history = vae.fit(grey_images, batch_size=65, epochs=2, verbose=0).history
    levels = {f"kl_{number}" for number in vae.latent_levels if number}
    assert set(history) == {"loss", "elbo", "reconstruction_nll", "kl"} | levels
    assert all(np.all(np.isfinite(values)) for values in history.values())
    vae.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")  # safe mode is the default
    assert_same_model(loaded, vae, grey_images)
    loaded.fit(grey_images, batch_size=65, epochs=1, verbose=0)
    assert int(loaded.optimizer.iterations) == 6


# Of SavedModels by default: a part without layers of its own, and the parts that have them.
WITH_MODELS = [
    options
    for options in FIRST
    if {"independent_normal", "flow", "vamp", "hierarchical"} & set(options.values())
]
SAVED = the_others_are_slow([*EACH_PART, *WITH_MONTE_CARLO, *HIERARCHIES], first=WITH_MODELS)


@pytest.mark.parametrize("options", SAVED, ids=name_of)
def test_a_part_is_saved_as_savedmodel_and_as_weights(options, grey_images, tmp_path):
    vae = small_vae(**options)
    vae.fit(grey_images, batch_size=65, epochs=2, verbose=0)
    if vae.kl_weight is not None:
        vae.kl_weight.assign(0.25)  # as a warm-up would
    vae.save(tmp_path / "model", save_format="tf")
    vae.save_weights(tmp_path / "weights")
    vae.save_weights(tmp_path / "model.weights.h5")
    vae.save_weights(tmp_path / "model.h5")
    loaded = tf_keras.models.load_model(tmp_path / "model")
    fresh, fresh_h5 = small_vae(**options), small_vae(**options)
    for model in (fresh, fresh_h5):
        model.optimizer.build(model.trainable_variables)
    fresh.load_weights(tmp_path / "weights").assert_consumed()
    fresh_h5.load_weights(tmp_path / "model.weights.h5")
    loaded.load_weights(tmp_path / "model.h5")  # the same weights in the same order
    for model in (loaded, fresh, fresh_h5):
        assert_same_model(model, vae, grey_images)
        model.fit(grey_images, batch_size=65, epochs=1, verbose=0)
        assert int(model.optimizer.iterations) == 6


@pytest.mark.parametrize("options", the_others_are_slow([*EACH_PART, *HIERARCHIES]), ids=name_of)
def test_a_part_is_exported_and_its_numbers_agree(options, grey_images, tmp_path):
    images = grey_images.round()
    vae = small_vae(**options)
    vae.fit(images, epochs=1, verbose=0)
    tfp_vae.export(vae, tmp_path)
    model = tfp_vae.load(tmp_path)
    described = json.loads((tmp_path / "assets" / "tfp_vae.json").read_text())
    kind, name = next(iter(options.items()))
    assert described["contract"] == 2
    assert kind in ("network", "objective", "corruption") or described[kind] == name
    assert set(model.signatures) == set(model.description.outputs)
    live = tfp_vae.inference_model(vae)
    assert live.description == model.description
    for method in METHODS:
        np.testing.assert_allclose(method(live, images), method(model, images), atol=1e-6)
    if not model.description.has_density:
        with pytest.raises(ValueError, match=r"log p\(z\): the posterior is deterministic: it has"):
            model.log_prior(np.zeros((1, 4)))
        return
    bounds = np.stack([model.elbo(images, seed).elbo for seed in range(SEEDS)]).mean(axis=1)
    weights = np.stack(
        [model.log_marginal_likelihood(images, 1, seed) for seed in range(SEEDS)]
    ).mean(axis=1)
    error = np.sqrt((bounds.var() + weights.var()) / SEEDS)
    assert abs(bounds.mean() - weights.mean()) < 4 * error
    found = [tfp_vae.evaluate(each, images, num_samples=3, seed=1) for each in (live, model)]
    assert found[0].elbo == pytest.approx(found[1].elbo, rel=1e-6)
    assert abs(found[0].elbo.value - bounds.mean()) < 6 * bounds.std()


METHODS = [
    lambda model, images: model.posterior(images).stddev,
    lambda model, images: model.encode(images),
    lambda model, images: model.reconstruct(images),
    lambda model, images: model.decode(np.ones((3, model.latent_size))),
    lambda model, images: model.sample(3, seed=1),
    lambda model, images: model.sample_image(np.ones((3, model.latent_size)), seed=1),
    lambda model, images: model.elbo(images, seed=1).elbo,
    lambda model, images: model.log_likelihood(images[:3], np.ones((3, model.latent_size))),
    lambda model, images: model.interpolate(images[0], images[1], steps=3),
    lambda model, images: model.traverse(images[0], 1, [0.0, 1.0]),
]


def test_a_model_in_memory_follows_its_weights(grey_images):
    vae = small_vae()
    model = tfp_vae.inference_model(vae)
    before = model.reconstruct(grey_images)
    vae.fit(grey_images, epochs=1, verbose=0)
    assert np.abs(model.reconstruct(grey_images) - before).max() > 1e-3
    with pytest.raises(ValueError, match="a model in memory has no fingerprint"):
        model.fingerprint  # noqa: B018


def test_options_are_checked_by_their_registry():
    with pytest.raises(ValueError, match=r"^bogus: expected an option of a part: activation, "):
        small_vae(bogus=1)
    with pytest.raises(ValueError, match=r"likelihood_scale 0\.5: only for likelihood indep"):
        small_vae(likelihood_scale=0.5)
    with pytest.raises(
        ValueError, match="prior 'no': expected one of standard_normal, mixture, vamp, flow"
    ):
        small_vae(prior="no")
