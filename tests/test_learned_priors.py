"""Priors with weights: mixture, vamp, flow. `test_parts.py` saves, exports and compiles each."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.bounds import assert_more_draws_raise_the_bound
from helpers.models import small_vae, vae_of
from scipy import stats
from sklearn.decomposition import PCA

import tfp_vae
from tfp_vae.priors.components import normal_log_probs

tfd = tfp.distributions
SHAPE, LATENTS, COMPONENTS = (4, 4, 1), 2, 6
EDGE, CELLS, BINS = (
    8.0,
    320,
    40,
)  # the square [-8, 8]^2, its fine cells and coarse bins along a side
POSTERIORS = ("multivariate_normal_tril", "independent_normal", "flow")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((50, *SHAPE)).astype(np.float32)


def shaken(vae, scale):
    """`vae` with weights as far from their initial ones as training might take them."""
    random = np.random.default_rng(1)
    for weight in vae.trainable_weights:
        if "pseudo_inputs" not in weight.name:
            weight.assign_add(scale * random.normal(size=weight.shape).astype(np.float32))
    return vae


def made(prior, posterior="independent_normal", images=None, scale=0.3, **options):
    tf_keras.utils.set_random_seed(0)
    if prior in ("mixture", "vamp"):
        options["prior_components"] = COMPONENTS
    options = {"hidden_units": (10,), "seed": 0, **options}
    vae = tfp_vae.build_vae(
        SHAPE, LATENTS, prior=prior, posterior=posterior, images=images, **options
    )
    return shaken(vae, scale)


CASES = [("mixture", "independent_normal"), ("flow", "independent_normal")]
CASES += [("vamp", posterior) for posterior in POSTERIORS]


@pytest.mark.parametrize(("prior", "posterior"), CASES)
def test_the_density_integrates_to_one_and_the_draws_follow_it(prior, posterior, images):
    vae = made(prior, posterior, images, scale=0.05 if "flow" in (prior, posterior) else 0.4)
    log_prob = tf.function(lambda z: vae.prior.log_prob(z))
    side = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS * 2 * EDGE - EDGE
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    log_probs = np.concatenate([log_prob(part) for part in np.split(grid, 8)])
    mass = np.exp(np.float64(log_probs)).reshape(CELLS, CELLS) * (2 * EDGE / CELLS) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    assert np.abs(log_probs - stats.norm.logpdf(grid).sum(axis=1)).max() > 0.1  # not N(0, I)

    count = 100_000
    draws = tf.function(lambda: vae.prior.sample(count, seed=tf.constant([1, 2])))()
    edges = np.linspace(-EDGE, EDGE, BINS + 1)
    observed = np.histogram2d(*np.transpose(draws), bins=[edges, edges])[0].ravel()
    each = CELLS // BINS
    expected = count * mass.reshape(BINS, each, BINS, each).sum(axis=(1, 3)).ravel()
    often = expected > 20  # the others, and what is outside, are one bin
    observed = np.append(observed[often], count - observed[often].sum())
    expected = np.append(expected[often], count - expected[often].sum())
    assert len(expected) > 50
    assert stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), len(expected) - 1) > 1e-3


@pytest.mark.parametrize("diagonal", [True, False])
def test_normals_are_compared_as_tfp_does_with_narrow_scales_too(diagonal):
    random = np.random.default_rng(0)
    mean = (3 * random.normal(size=(5, 3))).astype(np.float32)
    scale = random.uniform(0.01, 1, size=(5, 3)).astype(np.float32)
    normal = tfd.MultivariateNormalDiag(mean, scale)
    if not diagonal:
        below = np.tril(random.normal(size=(5, 3, 3)), -1).astype(np.float32)
        normal = tfd.MultivariateNormalTriL(mean, below + tf.linalg.diag(scale))
    z = np.concatenate([normal.sample(seed=[0, k]) for k in range(4)])
    expected = normal.log_prob(z[:, np.newaxis])
    np.testing.assert_allclose(normal_log_probs(normal, z), expected, rtol=1e-4, atol=1e-3)
    first = normal_log_probs(normal, z[0])  # a latent without a batch
    np.testing.assert_allclose(first, expected[0], rtol=1e-4, atol=1e-3)


def stock_mixture(vae):
    """The density of a VampPrior by TFP's own densities of the posteriors at its pseudo-inputs."""
    pseudo_inputs = tf.convert_to_tensor(vae.prior_layer.pseudo_inputs)
    posterior = vae.encoder(pseudo_inputs).tensor_distribution

    def log_prob(z):
        each = posterior.log_prob(z[:, np.newaxis])
        return tf.reduce_logsumexp(each, axis=1) - np.log(COMPONENTS)

    return log_prob


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_a_vamp_prior_is_the_mixture_of_posteriors_with_its_gradient(posterior, images):
    vae = made("vamp", posterior, images, likelihood="independent_normal")
    z = np.random.default_rng(2).normal(size=(9, LATENTS)).astype(np.float32)
    values, gradients = [], []
    weights = [*vae.encoder.trainable_weights, vae.prior_layer.pseudo_inputs]
    for density in (lambda z: vae.prior.log_prob(z), lambda z: stock_mixture(vae)(z)):
        with tf.GradientTape() as tape:
            value = density(z)
        values.append(value)
        gradients.append(tape.gradient(value, weights))
    np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-4)
    for weight, mine, expected in zip(weights, *gradients, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=1e-3, err_msg=weight.name)
        assert np.abs(mine).max() > 0, weight.name  # the encoder's too


def test_pseudo_inputs_start_at_images_and_stay_in_their_range(images):
    black_and_white = images.round()
    vae = made("vamp", images=black_and_white, scale=0.0)
    started = vae.prior_layer.pseudo_inputs.numpy()
    rows = [np.flatnonzero((black_and_white == each).all(axis=(1, 2, 3))) for each in started]
    assert len(set(np.concatenate(rows))) == COMPONENTS
    vae.compile(tf_keras.optimizers.Adam(0.3))
    vae.fit(black_and_white, epochs=20, verbose=0)
    moved = vae.prior_layer.pseudo_inputs.numpy()
    assert moved.min() >= 0 and moved.max() <= 1
    assert ((moved > 0) & (moved < 1)).any()  # a pixel of 0 or 1 is not stuck there
    assert made("vamp").prior_layer.pseudo_inputs.numpy().std() > 0.2  # evenly, without images
    bytes_ = (255 * black_and_white).astype(np.uint8)
    again = made("vamp", images=bytes_, scale=0.0).prior_layer.pseudo_inputs
    np.testing.assert_array_equal(again, started)


def test_the_encoder_belongs_to_the_model_alone(images):
    vae = made("vamp", images=images)
    assert len(vae.prior_layer.weights) == 1
    assert vae.prior_layer.weights[0] is vae.prior_layer.pseudo_inputs
    found = [id(weight) for weight in vae.trainable_weights]
    assert len(set(found)) == len(found)
    assert vae.trainable_weights[-1] is vae.prior_layer.pseudo_inputs
    alone = tf_keras.models.clone_model(vae.encoder)
    prior = alone.layers[-1].activity_regularizer.prior
    assert np.isnan(prior().log_prob(np.zeros(LATENTS))) and np.isnan(prior().sample(3)).all()


@pytest.mark.parametrize("prior", ["mixture", "vamp", "flow"])
def test_a_prior_may_be_made_by_itself(prior, images):
    arguments = {
        "mixture": (tfp_vae.MixturePrior, {"components": 3}),
        "vamp": (tfp_vae.VampPrior, {"components": 3, "images": np.resize(images, (9, 6, 6, 1))}),
        "flow": (tfp_vae.FlowPrior, {"couplings": 2, "hidden_units": 8}),
    }
    kind, options = arguments[prior]
    vae = vae_of(tfp_vae.IndependentNormal(2, seed=0), 4, 2, prior=kind(2, **options))
    before = [weight.numpy() for weight in vae.prior_layer.trainable_weights]
    history = vae.fit(np.random.default_rng(0).random((40, 6, 6, 1)), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all() and vae.kl_form == "monte_carlo"
    for weight, value in zip(vae.prior_layer.trainable_weights, before, strict=True):
        moved = np.abs(weight.numpy() - value)
        assert moved.max() > 0, weight.name


def test_what_a_vamp_prior_refuses(images):
    with pytest.raises(ValueError, match=r"expected \(height, width, channels\)"):
        vae_of(tfp_vae.IndependentNormal(2), 4, 2, prior=tfp_vae.VampPrior(2, 3))
    with pytest.raises(ValueError, match="expected at most 50, the number of images"):
        tfp_vae.VampPrior(2, 51, images=images)
    stock = tfp.layers.IndependentNormal(2)
    with pytest.raises(ValueError, match=r"VampPrior with a .* posterior: expected a layer of tfp"):
        vae_of(stock, 4, 2, prior=tfp_vae.VampPrior(2, 3, image_shape=(6, 6, 1)))
    other = tfp_vae.VampPrior(LATENTS, 3, image_shape=(5, 5, 1))
    with pytest.raises(ValueError, match=r"prior over images of \(5, 5, 1\): expected \(4, 4, 1\)"):
        tfp_vae.build_vae(SHAPE, LATENTS, prior=other)


def test_the_exported_vamp_prior_follows_the_encoder_and_the_bound_never_falls(images):
    vae = made("vamp", "flow", images, scale=0.05)
    model = tfp_vae.inference_model(vae)
    z = np.random.default_rng(0).normal(size=(5, LATENTS))
    before = model.log_prior(z)
    vae.encoder.trainable_weights[0].assign_add(tf.ones_like(vae.encoder.trainable_weights[0]))
    after = model.log_prior(z)
    assert np.abs(after - before).min() > 0
    np.testing.assert_allclose(after, stock_mixture(vae)(np.float32(z)), rtol=1e-4)

    assert_more_draws_raise_the_bound(model, images.round(), range(30))


@pytest.mark.slow
def test_a_mixture_prior_beats_the_best_single_normal_on_data_from_a_mixture():
    random = np.random.default_rng(0)
    latents = random.normal(size=(2000, 2)) * 0.3 + 2 * random.choice([-1, 1], size=(2000, 2))
    data = latents @ random.normal(size=(2, 16)) * 0.3 + 0.1 * random.normal(size=(2000, 16)) + 0.5
    data = data.astype(np.float32)
    tf_keras.utils.set_random_seed(0)
    vae = tfp_vae.build_vae(
        SHAPE,
        LATENTS,
        hidden_units=(),
        likelihood="independent_normal",
        prior="mixture",
        prior_components=8,
        seed=0,
    )
    rate = tf_keras.optimizers.schedules.CosineDecay(0.02, 3000)
    vae.compile(tf_keras.optimizers.Adam(rate), jit_compile=True, steps_per_execution=50)
    vae.fit(data.reshape(-1, *SHAPE), batch_size=200, epochs=300, verbose=0)
    elbo = vae.evaluate(data.reshape(-1, *SHAPE), 2000, return_dict=True, verbose=0)["elbo"]
    assert elbo > PCA(LATENTS).fit(data).score(data) + 0.5


@pytest.mark.parametrize("model", [{}, {"model": "hierarchical", "latent_size": (3, 2)}])
def test_a_step_encodes_the_pseudo_inputs_once(model, grey_images):
    vae = small_vae(prior="vamp", prior_components=5, images=grey_images, **model)
    vamp = getattr(vae.prior_layer, "top", vae.prior_layer)
    encode, calls = vamp._posterior_of, []

    def counted(images):
        calls.append(images)
        return encode(images)

    vamp.bind(counted)
    tf.function(vae.test_step).get_concrete_function(grey_images)
    assert len(calls) == 1


def test_full_normals_that_are_nearly_singular_keep_their_densities():
    random = np.random.default_rng(0)
    size = 12
    factor = np.tril(np.full([size, size], 0.5))
    np.fill_diagonal(factor, 0.12)  # its inverse has numbers of 1e8
    mean = random.normal(size=size)
    z = (mean + random.normal(size=(50, size)) @ factor.T).astype(np.float32)
    mean, factor = mean.astype(np.float32), factor.astype(np.float32)
    found = normal_log_probs(tfd.MultivariateNormalTriL(mean[np.newaxis], factor[np.newaxis]), z)
    white = np.linalg.solve(factor.astype(float), (z.astype(float) - mean).T)
    constants = size * np.log(2 * np.pi) + 2 * np.log(np.diag(factor)).sum()
    expected = -0.5 * ((white**2).sum(axis=0) + constants)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)
