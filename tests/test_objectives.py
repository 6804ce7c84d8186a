"""The objectives over several draws in a model: bounds, logs, training, replicas, resuming."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import in_process
from helpers.models import FixedDraws, small_vae, vae_of
from sklearn.decomposition import PCA
from test_resume import weights

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


def test_xla_computes_the_same(grey_images):
    """With draws at fixed points, since XLA's random numbers are others."""
    images, found = grey_images[:, :6, :6], []
    for xla in (False, True):
        vae = vae_of(FixedDraws(3, seed=0), 6, 3)
        vae = tfp_vae.VAE(vae.encoder, vae.decoder, objective="dreg", num_samples=3)
        vae.compile(tf_keras.optimizers.SGD(1e-2), jit_compile=xla)
        options = {"batch_size": 65, "epochs": 3, "shuffle": False, "verbose": 0}
        history = vae.fit(images, **options).history
        found.append([*history["loss"], *history["kl"]])
    np.testing.assert_allclose(*found, rtol=1e-4)
    assert found[0][2] != found[0][0]


def test_a_step_compiles_under_xla_for_any_batch(grey_images):
    vae = small_vae(objective="stl", num_samples=2)
    vae.compile("adam", jit_compile=True)
    history = vae.fit(grey_images, batch_size=64, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])


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


def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path):
    argv = ["--objective", "iwae", "--num-samples", 5, "--hidden-units", 8, "--latent-size", 2]
    argv += ["--jit-compile", "false", "--epochs"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert in_process(*argv, 2, "--output-dir", whole) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.folder.Run.publish", lambda run: None)
        assert in_process(*argv, 1, "--output-dir", halves) == 0
    assert in_process(*argv, 2, "--output-dir", halves, "--resume") == 0
    runs = [folder / "digits" / "1" for folder in (whole, halves)]
    expected, found = (weights(run / "model.keras") for run in runs)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
    histories = [(run / "history.csv").read_text() for run in runs]
    assert histories[0] == histories[1] and "val_iwae" in histories[0]


REPLICAS = """
import numpy as np
import tfp_vae
import tensorflow as tf
import tf_keras
from helpers.models import FixedDraws
from tfp_vae import divergences

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategies = [tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])]
assert strategies[1].num_replicas_in_sync == 2

rng = np.random.default_rng(0)
images = rng.random((128, 6, 6, 1)).astype(np.float32)
images[::64][:, :3] = 1.0
lower = np.arange(128) % 64 < 32  # what one of the replicas sees of a batch of 64
images[lower] *= 0.5
OPTIONS = [dict(objective="elbo", free_bits=0.12),
           dict(objective="elbo", free_bits=0.12, num_samples=3),
           *(dict(objective=name, num_samples=3) for name in ("iwae", "stl", "dreg"))]
for options in OPTIONS:
    found = []
    for strategy in strategies:
        with strategy.scope():
            tf_keras.utils.set_random_seed(0)
            free_bits = options.get("free_bits", 0.0)
            inputs, latents = tf_keras.Input((6, 6, 1)), tf_keras.Input((2,))
            params = tf_keras.layers.Dense(4)(tf_keras.layers.Flatten()(inputs))
            regularizer = tfp_vae.KLDivergenceRegularizer(
                tfp_vae.StandardNormal(2), use_exact_kl=None, free_bits=free_bits)
            layer = FixedDraws(2, activity_regularizer=regularizer, seed=0)
            likelihood = tfp_vae.IndependentNormalSharedScale((6, 6, 1), seed=0)
            vae = tfp_vae.VAE(
                tf_keras.Model(inputs, layer(params)),
                tf_keras.Model(latents, likelihood(tf_keras.layers.Dense(36)(latents))),
                objective=options["objective"], num_samples=options.get("num_samples", 1))
            vae.compile(tf_keras.optimizers.SGD(1e-3))
        data = tf.data.Dataset.from_tensor_slices(images).batch(64)
        history = vae.fit(data, epochs=2, verbose=0).history
        found.append((history, [weight.numpy() for weight in vae.trainable_weights]))
    (one, one_weights), (two, two_weights) = found
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)
    for a, b in zip(one_weights, two_weights):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)
    if "free_bits" in options:  # on one replica a latent is above its allowance, on the other below
        halves = [divergences.kl_per_latent(vae.encoder(part), vae.prior).numpy().mean(0)
                  for part in (images[lower], images[~lower])]
        mean = np.mean(halves, axis=0)
        assert np.any((np.min(halves, 0) < 0.12) & (np.max(halves, 0) > 0.12)), halves
        assert np.any(mean > 0.12), mean
print("equal")
"""


def test_two_replicas_train_as_one_device(clean_environment):
    environment = {**clean_environment, "PYTHONPATH": str(Path(__file__).parent)}
    result = subprocess.run(
        [sys.executable, "-c", REPLICAS], capture_output=True, text=True, env=environment
    )
    assert (result.returncode, result.stdout.split()[-1:]) == (0, ["equal"]), result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_reaches_probabilistic_pca(objective):
    rng = np.random.default_rng(0)
    latents, pixels = 3, 30
    loadings = rng.normal(size=(latents, pixels)) * 0.5
    data = rng.normal(size=(2000, latents)) @ loadings + 0.1 * rng.normal(size=(2000, pixels)) + 0.5
    data = data.astype(np.float32)
    images = data.reshape(-1, 5, 6, 1)
    tf_keras.utils.set_random_seed(0)
    vae = tfp_vae.build_vae(
        (5, 6, 1),
        latents,
        hidden_units=(),
        likelihood="independent_normal",
        objective=objective,
        num_samples=5,
        seed=0,
    )
    rate = tf_keras.optimizers.schedules.CosineDecay(0.02, 3000)
    vae.compile(tf_keras.optimizers.Adam(rate), jit_compile=True, steps_per_execution=50)
    vae.fit(images, batch_size=200, epochs=300, verbose=0)
    logs = vae.evaluate(images, batch_size=2000, return_dict=True, verbose=0)
    closed_form = PCA(latents).fit(data).score(data)
    bound = logs.get("iwae", logs["elbo"])
    print(f"{objective}: bound {bound:.3f}, PCA {closed_form:.3f}, {logs}")
    assert bound == pytest.approx(closed_form, abs=0.1)
    assert bound < closed_form + 0.03
