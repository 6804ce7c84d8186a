"""Priors: serialisation, any pair of posterior and prior, and trained weights."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import LaplacePosterior, vae_of

import tfp_vae
from tfp_vae.priors import serialization
from tfp_vae.priors.fixed import FixedPrior, as_prior
from tfp_vae.priors.standard_normal import StandardNormal

tfd = tfp.distributions


def zeros(size):
    return np.zeros(size, np.float32)


def diagonal(size):
    return tfd.MultivariateNormalDiag(loc=zeros(size) + 2, scale_diag=zeros(size) + 0.5)


def mixture(size):
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.3, 0.7]),
        tfd.MultivariateNormalDiag(np.stack([zeros(size) - 1, zeros(size) + 1]), [1.0] * size),
    )


def laplace(size):
    return tfd.Independent(tfd.Laplace(zeros(size), 1.0), reinterpreted_batch_ndims=1)


FIXED = {"standard": lambda size: None, "diag": diagonal, "mixture": mixture, "laplace": laplace}
LAYERS = {
    "tril": (lambda size: tfp_vae.MultivariateNormalTriL(size, seed=0), lambda d: d * (d + 3) // 2),
    "diagonal": (lambda size: tfp_vae.IndependentNormal(size, seed=0), lambda d: 2 * d),
    "laplace": (lambda size: LaplacePosterior(seed=0), lambda d: 2 * d),
}
NORMAL_PAIRS = {(q, p) for q in ("tril", "diagonal") for p in ("standard", "diag")}
EXACT = {("laplace", "laplace")} | NORMAL_PAIRS


@pytest.mark.parametrize("make", [diagonal, mixture, laplace], ids=lambda make: make.__name__)
def test_a_prior_comes_back_from_its_config(make):
    prior = as_prior(make(3))
    again = tf_keras.layers.deserialize(tf_keras.layers.serialize(prior))
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert type(again) is FixedPrior and again.latent_size == 3
    np.testing.assert_array_equal(again().log_prob(z), prior().log_prob(z))


def test_a_distribution_of_one_s_own_class_is_refused():
    class Mine(tfd.Normal):
        pass

    with pytest.raises(ValueError, match=r"prior Mine: only the classes of tfp.distributions"):
        serialization.serialize(Mine(0.0, 1.0))


@pytest.mark.parametrize("name", ["os", "kl_divergence", "NoSuch"])
def test_a_config_makes_nothing_but_distributions(name):
    with pytest.raises(ValueError, match=f"'{name}' is not a class of tfp.distributions"):
        serialization.deserialize({"distribution": name, "parameters": {}})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: tfd.Normal(zeros(3), 1.0), r"event shape \(\), batch shape \(3,\): expected the"),
        (lambda: tfd.Independent(tfd.Normal(np.zeros(3), 1.0), 1), "of float64: expected float32"),
        (
            lambda: tfd.MultivariateNormalDiag(tf.Variable(zeros(3)), [1.0] * 3),
            "has trainable variables: expected fixed parameters",
        ),
    ],
)
def test_a_distribution_that_is_no_prior_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        as_prior(given())


def test_a_prior_over_other_latents_is_refused():
    with pytest.raises(ValueError, match="prior over 3 latents: expected 2, as the decoder takes"):
        vae_of(tfp_vae.IndependentNormal(2), 4, 2, prior=diagonal(3))


def test_n_0_i_is_recognised_however_it_is_given():
    given = tfd.Independent(tfd.Normal(zeros(2), 1.0), reinterpreted_batch_ndims=1)
    assert isinstance(as_prior(given), StandardNormal)
    vae = vae_of(tfp_vae.IndependentNormal(2), 4, 2, prior=given)
    assert tfp_vae.inference_model(vae).description.prior == "standard_normal"


@pytest.mark.parametrize("make", [mixture, laplace], ids=lambda make: make.__name__)
def test_exact_without_a_closed_form_is_one_line(make):
    regularizer = tfp_vae.KLDivergenceRegularizer(make(2), use_exact_kl=True)
    for build in (
        lambda: tfp_vae.build_vae((8, 9, 1), 2, prior=make(2), kl="exact"),
        lambda: vae_of(tfp_vae.IndependentNormal(2, activity_regularizer=regularizer), 4, 2),
    ):
        with pytest.raises(ValueError, match="kl exact: TFP has no closed form") as raised:
            build()
        assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def images():
    drawn = np.random.default_rng(0).random((100, 6, 6, 1)) > 0.5
    drawn[:50, :3] = True
    return drawn.astype(np.float32)


# Each posterior with a KL in closed form and with a Monte Carlo one; the others are for `-m slow`.
FAST = {
    ("tril", "diag"),
    ("tril", "mixture"),
    ("diagonal", "standard"),
    ("diagonal", "laplace"),
    ("laplace", "laplace"),
    ("laplace", "mixture"),
}
PAIRS = [
    pair if pair in FAST else pytest.param(*pair, marks=pytest.mark.slow)
    for pair in itertools.product(LAYERS, FIXED)
]


@pytest.mark.parametrize(("posterior", "prior"), PAIRS)
def test_every_number_of_a_pair_is_the_model_s_own(posterior, prior, images, tmp_path):
    size, seeds = 2, range(60)
    layer, params_size = LAYERS[posterior]
    vae = vae_of(layer(size), params_size(size), size, prior=FIXED[prior](size))
    assert vae.kl_form == ("exact" if (posterior, prior) in EXACT else "monte_carlo")
    vae.fit(images, epochs=10, verbose=0)
    tfp_vae.export(vae, tmp_path)
    model = tfp_vae.load(tmp_path)

    bounds = np.array([model.elbo(images, seed).elbo.mean() for seed in seeds])
    weights = np.array([model.log_marginal_likelihood(images, 1, seed).mean() for seed in seeds])
    evaluated = np.array(
        [tfp_vae.evaluate(model, images, num_samples=1, seed=seed).elbo.value for seed in seeds]
    )
    for other in (weights, evaluated):
        error = np.sqrt((bounds.var(ddof=1) + other.var(ddof=1)) / len(seeds))
        assert abs(bounds.mean() - other.mean()) < 4 * error
    rising = [model.log_marginal_likelihood(images, k, 0).mean() for k in (1, 10, 100)]
    assert np.all(np.diff(rising) > 0)

    edge = np.linspace(-12, 12, 601)
    grid = np.stack(np.meshgrid(edge, edge), axis=-1).reshape(-1, 2)
    mass = np.exp(np.float64(model.log_prior(grid))).sum() * (edge[1] - edge[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-3)

    drawn = model.sample_posterior(images[:7], seed=3)
    posterior_of = vae.encoder(images[:7])
    expected = posterior_of.log_prob(drawn.latent)
    np.testing.assert_allclose(drawn.log_posterior, expected, rtol=1e-4, atol=1e-4)


@tf_keras.saving.register_keras_serializable("tests")
class LearnedPrior(tfp_vae.Prior):
    """A Normal whose mean is learned: a prior with weights, as a user would write it."""

    def build(self, input_shape):
        self.mean = self.add_weight("mean", shape=(self.latent_size,), initializer="zeros")
        super().build(input_shape)

    def distribution(self):
        return tfd.MultivariateNormalDiag(loc=self.mean, scale_diag=[1.0] * self.latent_size)


@pytest.mark.parametrize("kl", [pytest.param("exact", marks=pytest.mark.slow), "monte_carlo"])
def test_the_weights_of_a_prior_are_trained_saved_and_exported(kl, images, tmp_path):
    vae = tfp_vae.build_vae((6, 6, 1), 2, prior=LearnedPrior(2), kl=kl, hidden_units=(20,), seed=0)
    vae.compile(tf_keras.optimizers.Adam(1e-2))
    assert len(vae.prior_layer.trainable_weights) == 1
    assert sum(w is vae.prior_layer.mean for w in vae.trainable_weights) == 1
    vae.fit(images, epochs=3, verbose=0)
    mean = vae.prior_layer.mean.numpy()
    assert np.abs(mean).min() > 1e-3
    vae.save(tmp_path / "m.keras")
    vae.save(tmp_path / "tf", save_format="tf")
    vae.save_weights(tmp_path / "m.weights.h5")
    fresh = tfp_vae.build_vae((6, 6, 1), 2, prior=LearnedPrior(2), kl=kl, hidden_units=(20,))
    fresh.load_weights(tmp_path / "m.weights.h5")
    loaded = [tf_keras.models.load_model(tmp_path / name) for name in ("m.keras", "tf")]
    for each in (fresh, *loaded):
        np.testing.assert_array_equal(each.prior_layer.mean, mean)
        regularizer = each.encoder.layers[-1].activity_regularizer
        assert regularizer.prior is each.prior_layer  # one object, whose weights the KL moves
    for each in loaded:
        each.fit(images, epochs=1, verbose=0)
        assert np.abs(each.prior_layer.mean.numpy() - mean).min() > 0
    tfp_vae.export(vae, tmp_path / "export")
    model = tfp_vae.load(tmp_path / "export")
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_allclose(model.log_prior(z), vae.prior.log_prob(z), rtol=1e-6)
    assert model.description.prior == "LearnedPrior"


def test_a_prior_given_twice_must_be_the_same():
    def build(prior):
        regularizer = tfp_vae.KLDivergenceRegularizer(diagonal(2), use_exact_kl=True)
        layer = tfp_vae.IndependentNormal(2, activity_regularizer=regularizer)
        return vae_of(layer, 4, 2, prior=prior), regularizer

    vae, regularizer = build(diagonal(2))
    assert vae.prior_layer is regularizer.prior
    with pytest.raises(ValueError, match="against another prior: give the prior once"):
        build(mixture(2))


def test_a_prior_or_a_posterior_that_is_no_vector_is_refused():
    class Scalar(tfp_vae.Prior):
        def distribution(self):
            return tfd.Normal(zeros(2), 1.0)

    class Pixelwise(tfp_vae.DistributionLayer):
        def make_distribution(self, params):
            return tfd.Normal(params, 1.0)

    with pytest.raises(ValueError, match=r"prior Normal: event shape \(\), batch shape \(2,\)"):
        vae_of(tfp_vae.IndependentNormal(2), 4, 2, prior=Scalar(2))
    with pytest.raises(ValueError, match=r"posterior Normal: event shape \(\), batch shape"):
        vae_of(Pixelwise(seed=0), 2, 2)
    with pytest.raises(ValueError, match=r"expected the event \[3\], as the decoder takes"):
        vae_of(tfp_vae.IndependentNormal(2), 4, 3)
    for wrong in ("standard_normal", 3.0):
        with pytest.raises(ValueError, match=r"expected a tfp_vae.Prior or a tfd.Distribution"):
            vae_of(tfp_vae.IndependentNormal(2), 4, 2, prior=wrong)


def test_a_deterministic_posterior_takes_no_kl():
    regularizer = tfp_vae.KLDivergenceRegularizer(diagonal(2))
    layer = tfp_vae.Deterministic(2, activity_regularizer=regularizer)
    with pytest.raises(ValueError, match="Deterministic has no density: expected no KL regular"):
        vae_of(layer, 2, 2)


def test_priors_that_cannot_be_saved_can_be_trained(images):
    moved = tfd.TransformedDistribution(laplace(2), tfp.bijectors.Scale(2.0))
    for prior in (moved, lambda: laplace(2)):
        vae = tfp_vae.build_vae((6, 6, 1), 2, prior=prior, hidden_units=(20,), seed=0)
        vae.compile("adam")
        vae.fit(images, epochs=1, verbose=0)
        assert np.isfinite(tfp_vae.inference_model(vae).log_prior(np.zeros((1, 2)))).all()


def test_image_noise_is_not_the_noise_of_the_latents():
    vae = tfp_vae.build_vae((4, 1, 1), 4, likelihood="independent_normal", hidden_units=(), seed=0)
    model = tfp_vae.inference_model(vae)
    latents = model.prior_sample(500, seed=3).latent
    noise = model.sample_image(latents, seed=3) - model.decode(latents)
    assert abs(np.corrcoef(latents.ravel(), noise.ravel())[0, 1]) < 0.1


def test_the_kl_of_one_draw_is_not_averaged_over_the_batch():
    regularizer = tfp_vae.KLDivergenceRegularizer(
        laplace(2), test_points_reduce_axis=0, test_points_fn=lambda q: q.sample(10)
    )
    layer = tfp_vae.IndependentNormal(2, activity_regularizer=regularizer, seed=0)
    model = tfp_vae.inference_model(vae_of(layer, 4, 2))
    kl = model.elbo(np.random.default_rng(0).random((5, 6, 6, 1))).kl
    assert kl.shape == (5,) and len(np.unique(kl)) == 5
