"""A run of version 0.1.0 gives the numbers that version 0.1.0 gave (`golden/make_run_0_1_0.py`)."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfp_vae

GOLDEN = Path(__file__).parent / "golden"
RUN = GOLDEN / "run-0.1.0"
TOLERANCE = 1e-5  # of the largest absolute value of each array

# In a process of its own, where nothing but `import tfp_vae` has registered the classes.
PREDICT_AND_TRAIN_ON = """
import sys
import tfp_vae
import numpy as np
import tf_keras

golden, exported, out = sys.argv[1:]
images = np.load(f"{golden}/numbers-0.1.0.npz")["images"]
vae = tf_keras.models.load_model(f"{golden}/run-0.1.0/1/model.keras", safe_mode=True)
posterior = vae.encoder(images)
likelihood = vae.decoder(posterior.mean())
numbers = {
    "keras_predict": vae.predict(images, verbose=0),
    "keras_posterior_mean": posterior.mean(),
    "keras_posterior_stddev": posterior.stddev(),
    "keras_kl": vae.divergence(posterior),
    "keras_log_likelihood": likelihood.log_prob(images),
}
history = vae.fit(images, epochs=1, verbose=0).history
tfp_vae.export(vae, exported)
np.savez(out, **numbers, loss=history["loss"], predict_after=vae.predict(images, verbose=0))
"""


@pytest.fixture(scope="module")
def numbers():
    with np.load(GOLDEN / "numbers-0.1.0.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def model():
    return tfp_vae.load(RUN)


def assert_equal(actual, expected, name=""):
    scale = max(1e-6, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def test_a_model_without_a_description_has_contract_1(model):
    description = model.description
    assert description.contract == 1
    assert description.has_density and description.posterior_is_normal
    assert description.prior_is_standard_normal
    assert description.log_likelihood == "probability"
    assert description.kl == "exact"
    assert model.image_shape == (8, 8, 1)
    assert model.latent_size == 3


def test_encoding_and_decoding(model, numbers):
    images, latents = numbers["images"], numbers["latents"]
    posterior = model.posterior(images)
    for name, array in posterior._asdict().items():
        assert_equal(array, numbers[f"posterior_{name}"], name)
    assert_equal(model.encode(images), numbers["encode"])
    assert_equal(model.decode(latents), numbers["decode"])
    assert_equal(model.reconstruct(images), numbers["reconstruct"])
    assert_equal(model.log_likelihood(images, latents), numbers["log_likelihood"])


def test_draws_from_the_prior(model, numbers):
    assert_equal(model.sample(6, seed=4), numbers["sample"])
    drawn = model.prior_sample(6, seed=4)
    assert_equal(drawn.image, numbers["prior_sample_image"])
    assert_equal(drawn.latent, numbers["prior_sample_latent"])
    assert_equal(model.prior_sample(600, seed=4).latent, numbers["prior_sample_600_latent"])


def test_elbo(model, numbers):
    found = model.elbo(numbers["images"], seed=5)
    assert_equal(found.elbo, numbers["elbo"])
    assert_equal(found.reconstruction_nll, numbers["elbo_reconstruction_nll"])
    assert_equal(found.kl, numbers["elbo_kl"])


@pytest.mark.parametrize("num_samples", [1, 20, 100])
def test_log_marginal_likelihood(model, numbers, num_samples):
    found = model.log_marginal_likelihood(numbers["images"], num_samples, seed=6)
    assert_equal(found, numbers[f"log_marginal_likelihood_{num_samples}"])


def test_latent_space(model, numbers):
    images = numbers["images"]
    assert_equal(model.interpolate(images[0], images[1], 5), numbers["interpolate_linear"])
    arc = model.interpolate(images[0], images[1], 5, spherical=True)
    assert_equal(arc, numbers["interpolate_spherical"])
    assert_equal(model.traverse(images[2], 1, [-2.0, 0.0, 2.0]), numbers["traverse"])
    direction = model.latent_direction(images[:20], images[20:])
    assert_equal(direction, numbers["latent_direction"])
    moved = model.apply_direction(images[3], direction, [-1.0, 0.0, 1.0])
    assert_equal(moved, numbers["apply_direction"])


def test_evaluation(model, numbers):
    found = tfp_vae.evaluate(model, numbers["images"], num_samples=20, seed=3)
    names = {field.name for field in dataclasses.fields(found)}
    expected = {
        name.removeprefix("evaluate_"): value
        for name, value in numbers.items()
        if name.startswith("evaluate_")
    }
    assert set(expected) <= names
    for name, value in expected.items():
        assert_equal(getattr(found, name), value, name)
    assert not found.refused


def test_densities_that_0_1_0_did_not_export(model, numbers):
    """For contract 1, `log_prior` and `sample_posterior` follow from q(z|x) and N(0, I)."""
    latents = np.float64(numbers["latents"])
    log_prior = -0.5 * (latents**2 + np.log(2.0 * np.pi)).sum(axis=1)
    assert_equal(model.log_prior(numbers["latents"]), log_prior)
    drawn, log_posterior = model.sample_posterior(numbers["images"], seed=7)
    scale_tril = np.float64(numbers["posterior_scale_tril"])
    difference = np.float64(drawn) - numbers["posterior_mean"]
    noise = np.linalg.solve(scale_tril, difference[..., np.newaxis])[..., 0]
    expected = -0.5 * (noise**2 + np.log(2.0 * np.pi)).sum(axis=1)
    expected -= np.log(np.diagonal(scale_tril, axis1=1, axis2=2)).sum(axis=1)
    assert_equal(log_posterior, expected)


def test_model_keras_predicts_the_same_and_trains_on(numbers, tmp_path, clean_environment):
    exported, out = tmp_path / "exported", tmp_path / "numbers.npz"
    command = [sys.executable, "-c", PREDICT_AND_TRAIN_ON, str(GOLDEN), str(exported), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment)
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        for name in found.files:
            if name.startswith("keras_"):
                assert_equal(found[name], numbers[name], name)
        assert np.isfinite(found["loss"]).all()
        predicted = found["predict_after"]
    assert not np.allclose(predicted, numbers["keras_predict"], atol=1e-4)  # it did learn
    exported_model = tfp_vae.load(exported)
    assert exported_model.description.contract == 2
    assert_equal(exported_model.reconstruct(numbers["images"]), predicted)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["info"], "latents"),
        (["sample", "{out}/samples.png", "--n", "4"], "4 images"),
        (["sample", "{out}/samples.npz", "--n", "4"], "4 images"),
    ],
)
def test_commands(tmp_path, clean_environment, arguments, shown):
    name, *rest = (argument.format(out=tmp_path) for argument in arguments)
    command = [sys.executable, "-m", "tfp_vae", name, str(RUN), *rest]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_training_evaluate_reads_its_config(tmp_path, clean_environment):
    from training.config import Config

    config = Config.from_json(RUN / "1" / "config.json")
    assert (config.latent_size, tuple(config.hidden_units), config.epochs) == (3, (32,), 30)
    run = shutil.copytree(RUN, tmp_path / "run")
    command = [sys.executable, "-m", "training.evaluate", str(run), "--num-samples", "5"]
    done = subprocess.run(
        [*command, "--limit", "20"], capture_output=True, text=True, env=clean_environment
    )
    assert done.returncode == 0, done.stderr
    assert "20 test images of digits" in done.stdout
