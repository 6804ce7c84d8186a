"""The hierarchical model: what must be one number by two routes."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.bounds import assert_more_draws_raise_the_bound
from helpers.hierarchies import moved, two_kinds
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, name_of
from scipy import stats

import tfp_vae
from tfp_vae import callbacks
from tfp_vae.inference import importance
from tfp_vae.layers.base import distribution_fn
from tfp_vae.layers.hierarchical import HierarchicalKL, HierarchicalPosterior
from tfp_vae.priors.hierarchical import HierarchicalPrior

tfd = tfp.distributions


@pytest.fixture(scope="module")
def images():
    return two_kinds()


@pytest.fixture(scope="module", params=HIERARCHIES, ids=name_of)
def vae(request):
    return moved(small_vae(**request.param))


def test_one_pass_gives_what_the_models_give_one_after_the_other(vae, images):
    images = tf.constant(images[:20])
    with tf.GradientTape(persistent=True) as tape:
        posterior = vae.encoder(images)
        fused = vae._decoded(posterior, training=True).log_prob(images)
        kl = tf.add_n(vae._regularizer.level_divergences(posterior))
        latents = tf.convert_to_tensor(posterior)
        composed = vae.decoder(latents).log_prob(images)
        copied = latents + 0.0  # another tensor: nothing is known of it
        again = vae.divergence(posterior, copied)
    np.testing.assert_allclose(fused, composed, rtol=1e-5)
    np.testing.assert_allclose(kl, again, rtol=1e-4, atol=1e-5)
    known, density = posterior.log_prob(latents), posterior.log_prob(copied)
    np.testing.assert_allclose(known, density, rtol=1e-5, atol=1e-3)
    weights = vae.trainable_weights
    for one, other in ((fused, composed), (kl, again)):
        gradients = tape.gradient(one, weights), tape.gradient(other, weights)
        for mine, theirs in zip(*gradients, strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                size = np.abs(theirs).max()
                np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4 * size + 1e-6)


def test_the_kl_of_the_levels_is_that_of_the_densities_on_average(vae, images):
    images = tf.tile(images[:1], [4000, 1, 1, 1])
    posterior = vae.encoder(images)
    latents = tf.convert_to_tensor(posterior)
    by_level = vae._regularizer.level_divergences(posterior)
    found, priors = posterior.drawn, vae.prior_layer.levels()
    by_density = [
        q.log_prob(u) - p.log_prob(u)
        for q, p, u in zip(found.conditionals, priors, found.levels, strict=True)
    ]
    for exact, drawn in zip(by_level, by_density, strict=True):
        difference = np.subtract(drawn, exact)
        error = difference.std() / np.sqrt(len(images))
        assert np.mean(exact) > 5 * error  # so that a KL of 0 would be seen
        assert abs(difference.mean()) < 4 * error
    total = posterior.log_prob(latents) - vae.prior.log_prob(latents)
    np.testing.assert_allclose(total, np.sum(by_density, axis=0), rtol=1e-3, atol=1e-2)


def test_the_latents_are_those_of_conditional_normals_in_units_of_them(vae):
    """Log p(z) of z_l ~ N(m_l, s_l^2) is log p(u), changed by the Jacobian of z to u."""
    top_down = vae.encoder.layers[-1].top_down
    latents = vae.prior.sample(50, seed=tf.constant([1, 2]))
    parts = tf.split(latents, top_down.sizes, axis=-1)
    of_z, jacobian, dependent = [], [], []

    def latents_of(index, state):
        shape = top_down.level_shapes[index]
        mean, scale = (
            tf.broadcast_to(tf.convert_to_tensor(x, tf.float32), [50, *shape])
            for x in top_down.conditional(index, state)
        )
        z = mean + scale * tf.reshape(parts[index], [-1, *shape])
        of_z.append(tf.reduce_sum(tfd.Normal(mean, scale).log_prob(z), [*range(1, z.ndim)]))
        jacobian.append(tf.reduce_sum(tf.math.log(scale), [*range(1, z.ndim)]))
        spread = [tf.reduce_max(tf.math.reduce_std(moment, axis=0)) for moment in (mean, scale)]
        dependent.append(min(map(float, spread)))
        return parts[index]

    state = top_down.walk(latents_of, 50)
    expected = tf.add_n(of_z) + tf.add_n(jacobian)
    np.testing.assert_allclose(vae.prior.log_prob(latents), expected, rtol=1e-4, atol=1e-3)
    assert dependent[0] == 0 and min(dependent[1:]) > 0.01  # p(z_l | z_>l), not p(z_l)
    likelihood = vae.decoder.layers[-1](top_down.parameters(state))
    np.testing.assert_allclose(likelihood.mean(), vae.decoder(latents).mean(), rtol=1e-5)


def test_the_bound_of_one_draw_is_the_elbo_and_more_draws_raise_it(vae, images):
    assert_more_draws_raise_the_bound(tfp_vae.inference_model(vae), images[:40], range(30))


def test_one_pass_gives_the_densities_of_the_draws_of_repeated_images(vae, images):
    images, seed = tf.constant(images[:7]), tf.constant([5, 6])
    found = vae.densities_at_draws(images, tf.constant(3), seed)
    repeated = tf.repeat(images, 3, axis=0)
    posterior = distribution_fn(vae.encoder)(repeated)
    latents, log_posterior = vae.encoder.layers[-1].sample_and_log_prob(posterior, seed)
    likelihood = distribution_fn(vae.decoder)(latents)
    for name, density in {
        "log_likelihood": likelihood.log_prob(repeated),
        "log_prior": vae.prior.log_prob(latents),
        "log_posterior": log_posterior,
    }.items():
        np.testing.assert_allclose(found[name], density, rtol=1e-5, atol=1e-3)


@pytest.mark.slow
def test_log_p_of_x_is_what_the_signatures_give(vae, images, tmp_path):
    """The last chunk of draws is not full."""
    tfp_vae.export(vae, tmp_path)
    model = tfp_vae.load(tmp_path)
    assert model.densities_at_draws is not None
    by_signatures = importance.log_weight_sums(model.signatures, model.description)
    arguments = tf.constant(images[:7]), tf.constant(100), tf.constant([5, 6])
    sums = model.log_weight_sums(*arguments), by_signatures(*arguments)
    np.testing.assert_allclose(*sums, rtol=1e-5, atol=2e-3)


def test_several_draws_and_densities_at_several_points_have_tfp_s_shapes(vae, images):
    posterior, size = vae.encoder(images[:7]), vae.prior_layer.latent_size
    draws, log_prob = posterior.experimental_sample_and_log_prob([2, 3], seed=(1, 2))
    assert draws.shape == (2, 3, 7, size) and log_prob.shape == (2, 3, 7)
    np.testing.assert_allclose(posterior.log_prob(draws), log_prob, rtol=1e-4, atol=1e-3)
    one = posterior.log_prob(draws[0, 0, 0])  # one latent for all images
    np.testing.assert_allclose(one[0], log_prob[0, 0, 0], rtol=1e-4, atol=1e-3)
    assert posterior.batch_shape == (7,) and posterior.event_shape == (size,)


def mixture(size):
    locs = np.stack([np.full(size, -1.0), np.full(size, 1.5)]).astype(np.float32)
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.3, 0.7]),
        tfd.MultivariateNormalDiag(locs, np.full(size, 0.5, np.float32)),
    )


def test_the_prior_of_two_latents_integrates_to_one_and_is_what_is_drawn():
    vae = moved(small_vae(model="hierarchical", latent_size=(1, 1), prior=mixture(1)))
    model = tfp_vae.inference_model(vae)
    edges = np.linspace(-8, 8, 401)
    middles = (edges[1:] + edges[:-1]) / 2
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(np.float64(model.log_prior(grid))).reshape(400, 400) * (edges[1] - edges[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    draws = model.prior_sample(100_000, seed=0).latent
    found, _, _ = np.histogram2d(*draws.T, bins=[edges[::20], edges[::20]])
    expected = len(draws) * mass.reshape(20, 20, 20, 20).sum(axis=(1, 3))
    enough = expected > 5
    expected = np.append(expected[enough], len(draws) - expected[enough].sum())
    found = np.append(found[enough], len(draws) - found[enough].sum())
    assert stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-3


def test_metrics_name_the_levels_and_their_sum_is_the_kl(images):
    vae = small_vae(model="hierarchical", latent_size=(4, 3, 2), posterior="independent_normal")
    warmup = callbacks.KLWarmup(4)
    history = vae.fit(images, batch_size=50, epochs=2, verbose=0, callbacks=[warmup]).history
    assert float(vae.kl_weight) == pytest.approx((1 + 1 / 2) / 4)
    assert vae.latent_levels == (3, 3, 2, 2, 2, 1, 1, 1, 1)  # from the image up: 4, 3, 2
    assert [tracker.name for tracker in vae.level_trackers] == ["kl_3", "kl_2", "kl_1"]
    logs = vae.evaluate(images, return_dict=True, verbose=0)
    for found in (logs, {name: values[-1] for name, values in history.items()}):
        assert found["kl"] == pytest.approx(sum(found[f"kl_{n}"] for n in (1, 2, 3)), rel=1e-5)
    assert isinstance(vae._regularizer, HierarchicalKL) and vae.kl_form == "monte_carlo"
    assert logs["loss"] == pytest.approx(
        logs["reconstruction_nll"] + float(vae.kl_weight) * logs["kl"], rel=1e-5
    )


@tf_keras.saving.register_keras_serializable("tests")
class Bound(tfp_vae.Prior):
    """q(z|x) of a grey image, as a VampPrior has it of many."""

    def bind(self, posterior_of):
        self.posterior_of = posterior_of

    def distribution(self):
        posterior = self.posterior_of(tf.fill([1, 8, 9, 1], 0.5))
        return tfd.Independent(tfd.Normal(posterior.mean()[0], posterior.stddev()[0]), 1)


def test_a_prior_at_the_top_may_be_made_of_the_top_posterior():
    vae = moved(small_vae(**HIERARCHIES[0]))
    sizes = vae.encoder.layers[-1].top_down.sizes
    top = Bound(sizes[0])
    top.bind(lambda images: tfd.Independent(tfd.Normal(tf.zeros([1, sizes[0]]), 1.0), 1))
    prior = HierarchicalPrior(top, sizes)
    prior.bind(vae._posterior_of)
    posterior = vae.encoder(tf.fill([1, 8, 9, 1], 0.5))
    latents = tf.convert_to_tensor(posterior)
    of_top = posterior.drawn.conditionals[0].log_prob(posterior.drawn.levels[0])
    found = prior.levels()[0].log_prob(posterior.drawn.levels[0][0])
    if isinstance(posterior.drawn.conditionals[0], tfd.Independent):
        np.testing.assert_allclose(found, of_top[0], rtol=1e-5)
    np.testing.assert_allclose(posterior.top().mean(), posterior.drawn.conditionals[0].mean())
    assert prior().log_prob(latents).shape == (1,)


def test_an_encoder_alone_is_saved(tmp_path, images):
    vae = moved(small_vae(**HIERARCHIES[0]))
    vae.encoder.save(tmp_path / "encoder.keras")
    loaded = tf_keras.models.load_model(tmp_path / "encoder.keras")
    assert isinstance(loaded.layers[-1], HierarchicalPosterior)
    np.testing.assert_array_equal(loaded(images).mean(), vae.encoder(images).mean())
