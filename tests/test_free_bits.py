"""Free bits: the formula, what is one group, and what training makes of it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import LaplacePosterior, closed_form_kl, small_vae, vae_of

import tfp_vae
from tfp_vae import divergences, objectives

tfd = tfp.distributions


@pytest.fixture(scope="module")
def posterior():
    """A factorised q(z|x) [7, 4], whose last latent is that of the prior but for a little."""
    rng = np.random.default_rng(0)
    params = rng.normal(size=(7, 8)) * [1, 1, 1, 1e-2, 1, 1, 1, 1e-2] + np.repeat([0, 0.5], 4)
    return tfp_vae.IndependentNormal(4, seed=0)(params.astype(np.float32))


def test_each_group_counts_at_least_its_allowance():
    kl = np.random.default_rng(0).exponential(size=(50, 3)).astype(np.float32) * [0.1, 1.0, 2.0]
    for allowance in (0.5, np.array([0.05, 3.0, 0.5])):
        expected = np.maximum(kl.mean(axis=0), allowance).sum()
        found = objectives.free_bits(tf.constant(kl, tf.float32), np.float32(allowance))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_group_below_its_allowance_has_no_gradient():
    kl = tf.Variable([[0.1, 2.0], [0.3, 0.0]])
    with tf.GradientTape() as tape:
        total = objectives.free_bits(kl, 0.5)
    np.testing.assert_allclose(tape.gradient(total, kl), [[0.0, 0.5], [0.0, 0.5]])


def test_kl_of_each_latent_sums_to_the_kl(posterior):
    prior = tfp_vae.StandardNormal(4)()
    per_latent = divergences.kl_per_latent(posterior, prior)
    assert per_latent.shape == (7, 4)
    np.testing.assert_allclose(tf.reduce_sum(per_latent, -1), closed_form_kl(posterior), rtol=1e-5)
    full = tfp_vae.MultivariateNormalTriL(4)(np.zeros((7, 14), np.float32))
    assert divergences.kl_per_latent(full, prior) is None
    laplace = LaplacePosterior(seed=0)(np.zeros((7, 8), np.float32))
    assert divergences.kl_per_latent(laplace, prior) is None


@pytest.mark.parametrize("exact", [True, None, False])
def test_the_penalty_is_by_latent_where_each_has_a_kl(exact, posterior):
    regularizer = tfp_vae.KLDivergenceRegularizer(
        tfp_vae.StandardNormal(4), use_exact_kl=exact, weight=2.0, free_bits=0.3
    )
    per_latent = divergences.kl_per_latent(posterior, regularizer.prior()).numpy().mean(axis=0)
    assert per_latent.min() < 0.3 < per_latent.max()
    kl = regularizer.divergence(posterior)
    groups, allowance = (np.mean(kl), 4 * 0.3) if exact is False else (per_latent, 0.3)
    expected = 2 * np.sum(np.maximum(groups, allowance))
    np.testing.assert_allclose(regularizer.penalty(posterior, kl), expected, rtol=1e-5)
    np.testing.assert_allclose(regularizer(posterior) / 7, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"posterior": "independent_normal"}, {"kl": "monte_carlo"}]
)
@pytest.mark.parametrize("num_samples", [1, 3])
def test_the_loss_has_free_bits_and_the_logs_have_not(options, num_samples, grey_images):
    vae = small_vae(free_bits=2.0, num_samples=num_samples, **options)  # more than any latent has
    vae.compile(tf_keras.optimizers.SGD(0.0))
    logs = vae.fit(grey_images, batch_size=65, epochs=1, verbose=0).history
    logs = {name: value[0] for name, value in logs.items()}
    assert logs["loss"] == pytest.approx(logs["reconstruction_nll"] + 4 * 2.0, rel=1e-5)
    assert logs["elbo"] == pytest.approx(-logs["reconstruction_nll"] - logs["kl"], rel=1e-5)
    assert logs["kl"] < 2.0


def test_no_latent_ends_below_its_allowance():
    """Black or white halves have one bit, so that without free bits most latents have no KL."""
    rng = np.random.default_rng(0)
    images = np.zeros((200, 6, 6, 1), np.float32)
    images[rng.random(200) < 0.5, :3] = 1.0
    least = {}
    for free_bits in (0.0, 0.2):
        tf_keras.utils.set_random_seed(0)
        vae = tfp_vae.build_vae(
            (6, 6, 1),
            4,
            posterior="independent_normal",
            hidden_units=(20,),
            free_bits=free_bits,
            seed=0,
        )
        rate = tf_keras.optimizers.schedules.CosineDecay(1e-2, 300)
        vae.compile(tf_keras.optimizers.Adam(rate))
        vae.fit(images, batch_size=200, epochs=300, verbose=0)
        kl = divergences.kl_per_latent(vae.encoder(images), vae.prior).numpy().mean(axis=0)
        least[free_bits] = kl.min()
    assert least[0.0] < 0.02
    assert least[0.2] > 0.2 - 0.01


def test_free_bits_are_in_the_config(grey_images, tmp_path):
    regularizer = tfp_vae.KLDivergenceRegularizer(tfp_vae.StandardNormal(2), free_bits=0.25)
    config = regularizer.get_config()
    assert tfp_vae.KLDivergenceRegularizer.from_config(config).free_bits == 0.25
    del config["free_bits"]  # as version 0.1.0 wrote it
    assert tfp_vae.KLDivergenceRegularizer.from_config(config).free_bits == 0.0


def test_free_bits_of_a_model_of_one_s_own_are_for_the_elbo():
    regularizer = tfp_vae.KLDivergenceRegularizer(tfp_vae.StandardNormal(2), free_bits=0.25)
    layer = tfp_vae.IndependentNormal(2, activity_regularizer=regularizer, seed=0)
    vae = vae_of(layer, 4, 2)
    with pytest.raises(ValueError, match=r"free_bits 0\.25: only for objective elbo, not stl"):
        tfp_vae.VAE(vae.encoder, vae.decoder, objective="stl", num_samples=2)
