"""Learned priors, objectives and free bits on a hierarchy."""

import numpy as np
import pytest
import tf_keras
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, cases

import tfp_vae

DENSE = HIERARCHIES[0]


@pytest.fixture(scope="module")
def images():
    return (np.random.default_rng(0).random((100, 8, 9, 1)) > 0.6).astype(np.float32)


@pytest.mark.parametrize(
    "prior",
    [
        pytest.param(
            prior,
            id=prior["prior"],
            marks=[] if prior["prior"] == "mixture" else pytest.mark.slow,
        )
        for prior in cases("prior")[1:]
    ],
)
def test_a_learned_prior_at_the_top_is_trained_and_saved(prior, images, tmp_path):
    vae = small_vae(**DENSE, **prior, images=images)
    vae.fit(images, batch_size=50, epochs=1, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    latents = vae.prior.sample(5, seed=(1, 2))
    np.testing.assert_array_equal(loaded.prior.log_prob(latents), vae.prior.log_prob(latents))
    before = [weight.numpy() for weight in loaded.prior_layer.trainable_weights]
    assert len(before) == len(vae.prior_layer.trainable_weights) > 0
    loaded.fit(images, batch_size=50, epochs=1, verbose=0)
    after = loaded.prior_layer.trainable_weights
    assert any(np.abs(new - old).max() > 0 for new, old in zip(after, before, strict=True))
    model = tfp_vae.inference_model(vae)
    assert (model.description.prior, model.description.model) == (prior["prior"], "hierarchical")
    bounds = np.array([model.elbo(images, seed).elbo.mean() for seed in range(20)])
    weights = [model.log_marginal_likelihood(images, 1, seed).mean() for seed in range(20)]
    error = np.sqrt((bounds.var(ddof=1) + np.var(weights, ddof=1)) / 20)
    assert abs(bounds.mean() - np.mean(weights)) < 4 * error


def test_free_bits_are_those_of_a_level(images):
    vae = small_vae(**DENSE, free_bits=0.5, beta=2.0)
    vae.compile(tf_keras.optimizers.SGD(0.0))
    logs = vae.evaluate(images, batch_size=100, return_dict=True, verbose=0)
    sizes = vae.encoder.layers[-1].top_down.sizes[::-1]  # from the image up
    counted = sum(max(logs[f"kl_{n}"], 0.5 * size) for n, size in enumerate(sizes, start=1))
    assert logs["loss"] == pytest.approx(logs["reconstruction_nll"] + 2 * counted, rel=1e-5)
    assert logs["elbo"] == pytest.approx(-logs["reconstruction_nll"] - logs["kl"], rel=1e-5)
    with pytest.raises(ValueError, match=r"free_bits 0\.5: for a hierarchy with one draw only"):
        small_vae(**DENSE, free_bits=0.5, num_samples=2)


@pytest.mark.parametrize(
    "objective",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("iwae", "stl")), "dreg"],
)
def test_an_objective_of_several_draws_trains_a_hierarchy(objective, images):
    vae = small_vae(**DENSE, objective=objective, num_samples=3)
    vae.compile(tf_keras.optimizers.Adam(0.01))
    history = vae.fit(images, batch_size=50, epochs=8, verbose=0).history
    assert set(history) == {"loss", "elbo", "reconstruction_nll", "kl", "iwae"}
    assert history["iwae"][-1] > history["iwae"][0]
