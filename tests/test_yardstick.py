"""Probabilistic PCA, and what a run says beside it."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import in_process
from scipy import stats
from sklearn.decomposition import PCA

from training import yardstick
from training.data.split import Split
from training.run import progress, summary


def split(images):
    return Split(len(images), images.shape[1:], pixels=tf.constant(images))


@pytest.fixture(scope="module")
def images():
    """Float images [300, 5, 6, 1] with three strong directions."""
    rng = np.random.default_rng(0)
    flat = 0.1 * rng.normal(size=(300, 3)) @ rng.normal(size=(3, 30))
    flat = 0.5 + flat + 0.03 * rng.normal(size=(300, 30))
    return flat.clip(0, 1).reshape(300, 5, 6, 1).astype(np.float32)


@pytest.mark.parametrize("latents", [1, 3, 10])
def test_it_is_scikit_learn_s_score(latents, images):
    found = yardstick.score(split(images[:200]), [images[200:]], latents)
    train, test = images[:200].reshape(200, 30), images[200:].reshape(100, 30)
    assert found.log_likelihood == pytest.approx(PCA(latents).fit(train).score(test), abs=1e-3)
    assert (found.latents, found.images) == (latents, 200)


def test_it_is_the_density_of_a_normal(images):
    found = yardstick.score(split(images[:200]), [images[200:]], 3)
    fitted = PCA(3).fit(images[:200].reshape(200, 30).astype(np.float64))
    density = stats.multivariate_normal(fitted.mean_, fitted.get_covariance())
    expected = density.logpdf(images[200:].reshape(100, 30)).mean()
    assert found.log_likelihood == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("count", "latents", "expected"), [(10, 64, 9), (200, 64, 29)])
def test_there_are_fewer_latents_than_images_and_pixels(count, latents, expected, images):
    found = yardstick.score(split(images[:count]), [images[200:]], latents)
    assert found.latents == expected and np.isfinite(found.log_likelihood)


def test_one_image_has_no_components(images):
    assert yardstick.score(split(images[:1]), [images[200:]], 3) is None


def test_equal_images_are_no_warning():
    images = np.full((20, 4, 4, 1), 0.5, np.float32)
    assert np.isfinite(yardstick.score(split(images), [images], 3).log_likelihood)


def test_pixels_that_never_change_stay_finite_and_few_images_are_used(images, monkeypatch):
    grey = np.full((20, 8, 8, 1), 200, np.uint8)
    expected = 64 * stats.norm.logpdf(0, scale=1e-3)
    found = yardstick.score(split(grey), [grey], 2).log_likelihood
    assert found == pytest.approx(expected, abs=0.1)
    monkeypatch.setattr(yardstick, "MAX_VALUES", 30 * 50)
    assert yardstick.score(split(images), [images[:9], images[9:]], 3).images == 50


METRICS = {
    "elbo": 5.0,
    "reconstruction_nll": -6.0,
    "kl": 1.0,
    "num_parameters": 1000,
    "num_latents": 4,
}
PPCA = {"ppca_log_likelihood": 7.0, "ppca_latents": 4, "ppca_images": 99}


def said(kl_form="exact", **metrics):
    return list(summary.lines({**METRICS, **metrics}, kl_form))


def test_a_run_below_the_linear_model_says_so():
    lines = said(**PPCA, active_units=3)
    assert "probabilistic PCA 7.000 nats (4 latents, 99 images)" in lines[1]
    assert lines[2].startswith("the ELBO is below probabilistic PCA") and "--network" in lines[2]
    assert len(said(**{**PPCA, "ppca_log_likelihood": 4.9}, active_units=3)) == 2
    assert len(said(**PPCA, active_units=3, kl_form="none")) == 2  # no bound to compare


def test_a_run_below_the_linear_model_that_overfits_names_other_settings():
    below = {**PPCA, "active_units": 3}
    assert said(**below, training_elbo=6.9) == said(**below)
    line = said(**below, training_elbo=7.1)[2]
    assert "that of the training images is 7.100" in line and "more --epochs" not in line
    assert "--dropout" in line and "--mirror" in line
    assert "--dropout" not in said(**below, training_elbo=7.1, kl_1=0.5)[2]  # a hierarchy
    several_draws = {**METRICS, **below, "training_elbo": 7.1}
    assert "--dropout" not in list(summary.lines(several_draws, "exact", "hierarchical"))[2]


def test_a_plain_autoencoder_has_no_bound():
    assert said("none", active_units=3)[0] == (
        "test log p(x|z) at the code 5.000 nats per image, not a bound"
    )


def test_a_run_without_an_active_latent_says_so():
    lines = said(active_units=0)
    assert lines[1:] == ["1,000 parameters, 0 of 4 latents are active", lines[2]]
    assert lines[2].startswith("no latent is active") and "--kl-warmup-epochs" in lines[2]
    advice = said("none", active_units=0)[-1]
    assert "--learning-rate" in advice and "--kl" not in advice and "--beta" not in advice


@pytest.mark.parametrize(
    ("history", "said_at"),
    [
        ([5.0, 3.0, 0.05, 0.01], [3]),  # it fell: said once
        ([0.01] * 5 + [4.0], []),  # the first epochs
        ([0.01] * 14, [11]),  # too long
        ([20.0, 0.2], []),
    ],
)
def test_a_collapse_is_said_once_when_it_is_seen(history, said_at, capsys):
    class Model:
        kl_form = "exact"

    warning = progress.CollapseWarning()
    warning.set_model(Model)
    found = []
    for epoch, kl in enumerate(history):
        warning.on_epoch_end(epoch, {"val_kl": kl})
        out = capsys.readouterr().out
        if out:
            assert out.startswith(f"epoch {epoch + 1}: val_kl is ") and "collapsed" in out
            found.append(epoch + 1)
    assert found == said_at


def test_a_normal_run_reports_it(tmp_path, capsys):
    """So much weight on the KL that nothing else is left: the run says so, at its end too."""
    argv = ["--likelihood", "independent_normal", "--epochs", 12, "--batch-size", 64]
    argv += ["--beta", 1e4, "--hidden-units", 20, "--learning-rate", 0.01]
    assert in_process(*argv, "--output-dir", tmp_path) == 0
    printed, error = capsys.readouterr()
    assert error == ""
    metrics = json.loads((tmp_path / "digits" / "1" / "metrics.json").read_text())
    assert metrics["active_units"] == 0 and metrics["elbo"] < metrics["ppca_log_likelihood"]
    assert metrics["ppca_images"] == 1437 and metrics["ppca_latents"] == 16
    assert printed.count("no latent is active") == 1
    assert printed.count("the ELBO is below probabilistic PCA") == 1
    assert printed.count("the latents have collapsed") == 1
    vae = tf_keras.models.load_model(tmp_path / "digits" / "1" / "model.keras")
    before = vae.get_weights()
    vae.fit(np.full((64, 8, 8, 1), 0.3, np.float32), verbose=0)  # the run's schedule ended at 0
    assert float(vae.optimizer.learning_rate) == np.float32(0.01)
    assert not np.array_equal(before[0], vae.get_weights()[0])
