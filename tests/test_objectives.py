"""The objectives over several draws in a model: bounds, logs, training, replicas, resuming."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import in_process
from helpers.models import FixedDraws, fitted_to_linear_data, small_vae, vae_of

import tfp_vae
from tfp_vae.models import OBJECTIVES, passes


def passes_of(vae, images, times=1):
    """The means of several passes over the images: a dict of arrays [times]."""

    @tf.function
    def one_pass():
        done = vae._pass(passes.Batch(images, images, None), False)
        means = {name: tf.reduce_mean(term) for name, term in done.terms._asdict().items()}
        if done.bound is not None:
            means["iwae"] = tf.reduce_mean(done.bound)
        return {"loss": done.loss, **means}

    found = [one_pass() for _ in range(times)]
    return {name: np.array([each[name] for each in found]) for name in found[0]}


@pytest.fixture(scope="module")
def trained_elbo(grey_images):
    """A model with a KL of a few nats, and its images, black and white."""
    images = grey_images.round()
    vae = small_vae(likelihood="independent_bernoulli")
    vae.compile(tf_keras.optimizers.Adam(1e-2))
    vae.fit(images, epochs=10, batch_size=65, verbose=0)
    return vae, tf.constant(images)


def with_objective(vae, objective, num_samples):
    """The same weights under another objective."""
    other = tfp_vae.VAE(vae.encoder, vae.decoder, objective=objective, num_samples=num_samples)
    other.compile("sgd")
    return other


def test_the_bound_rises_with_the_draws_and_is_that_of_importance_sampling(trained_elbo):
    vae, images = trained_elbo
    model, seeds = tfp_vae.inference_model(vae), range(20)
    means = []
    for count in (1, 5, 50):
        found = passes_of(with_objective(vae, "iwae", count), images, len(seeds))
        np.testing.assert_allclose(found["loss"], -found["iwae"], rtol=1e-6)
        others = [model.log_marginal_likelihood(images, count, seed).mean() for seed in seeds]
        error = np.sqrt((found["iwae"].var(ddof=1) + np.var(others, ddof=1)) / len(seeds))
        assert abs(found["iwae"].mean() - np.mean(others)) < 4 * error
        means.append(found["iwae"].mean())
        assert means[0] == pytest.approx(found["elbo"].mean(), abs=0.1)  # the ELBO, whatever K
    assert np.all(np.diff(means) > 0.01)


def test_several_draws_of_the_elbo_have_its_mean_and_less_variance(trained_elbo):
    vae, images = trained_elbo
    one, ten = (passes_of(with_objective(vae, "elbo", count), images, 30) for count in (1, 10))
    for found in (one, ten):
        np.testing.assert_allclose(found["loss"], -found["elbo"], rtol=1e-6)
        np.testing.assert_allclose(found["kl"], one["kl"][0], rtol=1e-5)  # in closed form
    error = np.sqrt((one["elbo"].var(ddof=1) + ten["elbo"].var(ddof=1)) / 30)
    assert abs(one["elbo"].mean() - ten["elbo"].mean()) < 4 * error
    assert ten["elbo"].var() < 0.5 * one["elbo"].var()


def test_the_loss_has_beta_and_the_logs_have_not(trained_elbo):
    vae, images = trained_elbo
    weighted = with_objective(vae, "iwae", 3)
    found = []
    for beta in (1.0, 0.25):
        vae.kl_weight.assign(beta)
        vae.encoder.layers[-1]._draws.assign(0)
        logs = weighted.evaluate(images, batch_size=len(images), return_dict=True, verbose=0)
        found.append(logs)
    vae.kl_weight.assign(1.0)
    assert found[0].keys() == {"loss", "elbo", "reconstruction_nll", "kl", "iwae"}
    assert found[0]["loss"] == pytest.approx(-found[0]["iwae"])
    assert found[1]["loss"] < found[0]["loss"] - 0.01
    assert found[0] | {"loss": 0} == found[1] | {"loss": 0}


def test_sample_weights_weigh_the_bound_of_an_image(trained_elbo):
    vae, images = trained_elbo
    weighted = with_objective(vae, "iwae", 3)
    draws = vae.encoder.layers[-1]._draws
    each = np.linspace(0, 2, len(images)).astype(np.float32)
    draws.assign(0)
    done, _ = weighted._forward((images, images, tf.constant(each)), training=False)
    np.testing.assert_allclose(done.loss, -np.mean(each * done.bound), rtol=1e-5)
    several = with_objective(vae, "elbo", 3)  # as for one draw: the KL has no weight
    done, _ = several._forward((images, images, tf.constant(each)), training=False)
    expected = np.mean(each * done.terms.reconstruction_nll) + np.mean(done.terms.kl)
    np.testing.assert_allclose(done.loss, expected, rtol=1e-5)


def test_the_encoder_s_own_penalties_are_those_at_the_images_under_a_vamp_prior(grey_images):
    options = {"prior": "vamp", "prior_components": 3, "images": grey_images}
    vae = small_vae(**options, objective="iwae", num_samples=2)
    before = vae.evaluate(grey_images, batch_size=130, verbose=0)[0]
    (dense, *_) = (each for each in vae.encoder.layers if isinstance(each, tf_keras.layers.Dense))
    # Keras divides by the number of inputs: what is left is as large as there are of them.
    dense.activity_regularizer = lambda output: tf.cast(tf.shape(output)[0] ** 2, tf.float32)
    vae.compile("adam")
    after = vae.evaluate(grey_images, batch_size=130, verbose=0)[0]
    assert after - before == pytest.approx(len(grey_images), abs=10)


def test_a_whole_number_of_draws_may_be_a_float(grey_images):
    made = small_vae()
    vae = tfp_vae.VAE(made.encoder, made.decoder, num_samples=2.0)
    vae.compile("adam")
    assert np.isfinite(vae.evaluate(grey_images, verbose=0)).all()


def test_a_loss_of_one_s_own_is_for_the_elbo(trained_elbo):
    vae, images = trained_elbo

    def squared(images, likelihood):
        return tf.reduce_sum((images - likelihood.mean()) ** 2, axis=(1, 2, 3))

    with pytest.raises(ValueError, match=r"loss squared: objective iwae weighs draws by log p"):
        with_objective(vae, "iwae", 3).compile("sgd", loss=squared)
    several = with_objective(vae, "elbo", 3)
    several.compile("sgd", loss=squared)
    done, _ = several._forward(images, training=False)
    expected = squared(done.targets, done.likelihood).numpy().mean() + np.mean(done.terms.kl)
    np.testing.assert_allclose(done.loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("iwae", {"network": "conv", "likelihood": "discretized_logistic"}),
        ("stl", {"posterior": "independent_normal", "likelihood": "continuous_bernoulli"}),
        ("dreg", {"likelihood": "independent_normal", "likelihood_scale": "per_pixel"}),
    ],
    ids=["conv", "grey", "mixed"],
)
def test_an_objective_trains_any_model(objective, options, grey_images):
    mixed = objective == "dreg"
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16" if mixed else "float32")
    try:
        vae = small_vae(objective=objective, num_samples=2, **options)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    vae.compile(tf_keras.optimizers.Adam(3e-3))
    images = grey_images[:128]
    history = vae.fit(images, batch_size=32, epochs=4, verbose=0, validation_data=images).history
    assert {"iwae", "val_iwae"} < set(history)
    np.testing.assert_allclose(np.negative(history["iwae"]), history["loss"], rtol=1e-5)
    assert history["loss"][-1] < history["loss"][0]


def test_a_fitted_scale_is_the_optimum_of_its_bound(grey_images):
    """With frozen networks and fixed draws: where the gradient of the loss by the scale is 0."""
    images = tf.constant(0.5 + 0.1 * (grey_images - 0.5))
    encoder = vae_of(FixedDraws(4, seed=0), 8, 4, images.shape[1:]).encoder
    decoder = small_vae(likelihood="independent_normal").decoder
    kernel, bias = decoder.layers[-2].get_weights()  # latents that move the pixels
    decoder.layers[-2].set_weights([0.3 * np.sign(kernel), bias])
    raw_scale, scales, gradients = decoder.layers[-1].raw_scale, {}, {}
    for objective in ("elbo", "iwae"):
        vae = tfp_vae.VAE(encoder, decoder, objective=objective, num_samples=5)
        vae.compile(tf_keras.optimizers.SGD(0.0))
        vae.fit(images, batch_size=len(images), epochs=100, verbose=0)
        scales[objective] = float(decoder.layers[-1].scale)
        for name in ("elbo", "iwae"):
            other = tfp_vae.VAE(encoder, decoder, objective=name, num_samples=5)
            other.compile("sgd")
            with tf.GradientTape() as tape:
                loss = other._pass(passes.Batch(images, images, None), False).loss
            gradients[objective, name] = abs(float(tape.gradient(loss, raw_scale)))
    assert scales["iwae"] < 0.97 * scales["elbo"]
    for one, other in (("elbo", "iwae"), ("iwae", "elbo")):
        assert gradients[one, one] < 1e-2 * gradients[one, other]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "vimco"}, "objective 'vimco': expected one of elbo, iwae, stl, dreg"),
        ({"num_samples": 0}, "num_samples 0: input should be greater than or equal to 1"),
        ({"objective": "iwae", "free_bits": 0.5}, "free_bits 0.5: only for objective elbo, not i"),
        ({"objective": "dreg", "posterior": "deterministic"}, "Deterministic has no density"),
        ({"num_samples": 2, "posterior": "deterministic"}, "Deterministic has no density"),
        ({"free_bits": 0.5, "posterior": "deterministic"}, "posterior deterministic has no KL"),
        (
            {"beta": 3.0, "posterior": "deterministic"},
            "beta 3.0: posterior deterministic has no",
        ),
        ({"kl": "exact", "posterior": "deterministic"}, "kl exact: posterior deterministic has no"),
        ({"free_bits": -1.0}, "free_bits -1.0: input should be greater than or equal to 0"),
    ],
    ids=str,
)
def test_what_cannot_be_combined_is_one_line(options, message, tmp_path, capfd):
    with pytest.raises(ValueError, match=message) as raised:
        small_vae(**options)
    assert "\n" not in str(raised.value)
    argv = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    assert in_process(*argv, "--output-dir", tmp_path / "runs") == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_layer_that_cannot_draw_is_refused():
    mean = tfp_vae.IndependentNormal(2, "mean")
    vae = vae_of(mean, 4, 2)
    with pytest.raises(ValueError, match="IndependentNormal draws no sample: expected convert"):
        with_objective(vae, "iwae", 2)


def test_a_config_without_an_objective_is_the_elbo():
    config = small_vae().get_config()
    del config["objective"], config["num_samples"]
    vae = tfp_vae.VAE.from_config(config)
    assert (vae.objective, vae.num_samples) == ("elbo", 1)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_reaches_probabilistic_pca(objective):
    logs, closed_form = fitted_to_linear_data(objective=objective, num_samples=5)
    bound = logs.get("iwae", logs["elbo"])
    print(f"{objective}: bound {bound:.3f}, PCA {closed_form:.3f}, {logs}")
    assert bound == pytest.approx(closed_form, abs=0.1)
    assert bound < closed_form + 0.03
