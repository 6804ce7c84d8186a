"""The command from beginning to end, on real images."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.commands import command, in_process, trained
from PIL import Image

import tfp_vae
from training.run import checkpoints

DIGITS_ENTROPY = 64 * np.log(2)  # nats of an 8x8 image of fair coins


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory, clean_environment):
    output = tmp_path_factory.mktemp("runs")
    argv = ("--epochs", 4, "--kl-warmup-epochs", 2, "--jit-compile", "auto")
    result = command(*argv, "--output-dir", output, env=clean_environment)
    return output / "digits" / "1", result


def test_it_is_quiet_and_says_what_was_reached(digits_run):
    path, result = digits_run
    assert (result.returncode, result.stderr) == (0, "")
    metrics = json.loads((path / "metrics.json").read_text())
    assert f"test ELBO {metrics['elbo']:.3f} nats per image" in result.stdout
    assert f"- kl (exact) {metrics['kl']:.3f}\n" in result.stdout
    assert str(path) in result.stdout


def test_what_a_run_leaves_on_disk(digits_run):
    path, _ = digits_run
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".lock", "1"]
    assert sorted(entry.name for entry in path.iterdir()) == [
        *(
            "README.md",
            "assets",
            "config.json",
            "fingerprint.pb",
            "history.csv",
            "logs",
            "metrics.json",
        ),
        *("model.keras", "reconstructions", "samples", "saved_model.pb", "variables"),
    ]
    epochs = [f"epoch-000{number}.png" for number in (1, 2, 3, 4)]
    for folder in ("samples", "reconstructions"):
        assert sorted(entry.name for entry in (path / folder).iterdir()) == epochs
        picture = np.asarray(Image.open(path / folder / epochs[-1]))
        assert picture.dtype == np.uint8 and picture.std() > 30
    config = json.loads((path / "config.json").read_text())
    assert (config["epochs"], config["posterior"]) == (4, "multivariate_normal_tril")
    assert config["data"]["splits"]["train"] == [1437, 8, 8, 1]
    assert set(config["versions"]) > {"tensorflow", "tf-keras", "tensorflow-probability"}
    events = [str(file) for file in (path / "logs").rglob("*tfevents*")]
    tags = {
        value.tag
        for file in events
        for event in tf.compat.v1.train.summary_iterator(file)
        for value in event.summary.value
    }
    assert {"samples", "reconstructions", "epoch_elbo", "epoch_kl"} <= tags


def test_the_history_is_the_objective(digits_run):
    path, _ = digits_run
    rows = list(csv.DictReader((path / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    for row in rows:
        values = {name: float(value) for name, value in row.items()}
        for prefix in ("", "val_"):
            nll, kl = values[f"{prefix}reconstruction_nll"], values[f"{prefix}kl"]
            assert values[f"{prefix}elbo"] == pytest.approx(-nll - kl, rel=1e-5)
        warm = int(row["epoch"]) >= 2
        assert (values["loss"] == pytest.approx(-values["elbo"], rel=1e-5)) == warm
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics["elbo"] == pytest.approx(-metrics["loss"], rel=1e-5)
    assert metrics["num_images"] == 180
    assert -DIGITS_ENTROPY < metrics["elbo"] < -20


def test_both_models_that_it_leaves_agree(digits_run, grey_images):
    path, _ = digits_run
    trainable = tf_keras.models.load_model(path / "model.keras")
    assert type(trainable) is tfp_vae.VAE
    images = grey_images[:, :, :8]
    served = tf.saved_model.load(path).signatures["serving_default"](image=images)
    np.testing.assert_allclose(
        served["reconstruction"], trainable.predict(images, verbose=0), atol=1e-6
    )
    trainable.fit(images, verbose=0)  # 4 epochs of 22 steps, or fewer for the best, and 5 more
    assert int(trainable.optimizer.iterations) % 22 == 5


def test_the_next_run_is_the_next_version(tmp_path):
    options = ("--epochs", 1, "--output-dir", tmp_path, "--name", "a")
    assert in_process(*options) == 0
    assert in_process(*options, "--latent-size", 2, "--posterior", "independent_normal") == 0
    assert sorted(entry.name for entry in (tmp_path / "a").iterdir()) == [".lock", "1", "2"]
    assert (tmp_path / "a" / "2" / "manifold" / "epoch-0001.png").is_file()


@pytest.mark.parametrize(
    "options",
    [
        ("--posterior", "deterministic"),
        pytest.param(("--likelihood", "continuous_bernoulli", "--beta", 4), marks=pytest.mark.slow),
        pytest.param(
            ("--likelihood", "independent_normal", "--likelihood-scale", 1.0, "--mixed-precision"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--network", "conv", "--kl", "monte_carlo", "--jit-compile", "true"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("--hidden-units", "--image-size", 12), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_other_settings(options, tmp_path):
    assert trained("--epochs", 1, "--output-dir", tmp_path, *options) == 0
    metrics = json.loads((tmp_path / "digits" / "1" / "metrics.json").read_text())
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.slow
def test_colour_files_of_different_sizes_and_odd_grey_arrays(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(30):
        pixels = rng.integers(0, 256, (*rng.integers(32, 50, 2), 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
    np.savez(tmp_path / "odd.npz", train=rng.random((30, 28, 20)))
    options = ("--epochs", 1, "--batch-size", 8, "--output-dir", tmp_path / "runs", "--dataset")
    assert trained(*options, tmp_path / "photos", "--image-size", 32) == 0
    assert trained(*options, tmp_path / "odd.npz", "--network", "conv") == 0
    for name, shape in (("photos", (32, 32, 3)), ("odd", (28, 20, 1))):
        signatures = tf.saved_model.load(tmp_path / "runs" / name / "1").signatures
        image = tf.zeros([2, *shape])
        assert signatures["serving_default"](image=image)["reconstruction"].shape == (2, *shape)


@pytest.mark.mnist
@pytest.mark.slow
def test_the_real_mnist(mnist_dir, tmp_path):
    options = ("--epochs", 1, "--batch-size", 500, "--output-dir", tmp_path)
    assert trained("--dataset", "mnist", "--data-dir", mnist_dir, *options) == 0
    metrics = json.loads((tmp_path / "mnist" / "1" / "metrics.json").read_text())
    assert metrics["num_images"] == 10_000
    assert -220 < metrics["elbo"] < -100


def test_an_unfinished_run_is_neither_lost_nor_mixed_up(tmp_path, monkeypatch, capsys):
    options = ("--output-dir", tmp_path, "--epochs")
    checkpoint = checkpoints.Checkpoints.on_epoch_end

    def interrupted(self, epoch, logs=None):
        checkpoint(self, epoch, logs)
        if epoch == 1:
            raise RuntimeError("the power went")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power went"):
        patch.setattr(checkpoints.Checkpoints, "on_epoch_end", interrupted)
        in_process(*options, 3)
    unfinished = tmp_path / "digits" / "1.incomplete"
    assert unfinished.is_dir()
    assert in_process(*options, 3) == 2
    assert "--resume, or discard it with --restart" in capsys.readouterr().err
    assert in_process(*options, 3, "--resume") == 0
    rows = list(
        csv.DictReader((tmp_path / "digits" / "1" / "history.csv").read_text().splitlines())
    )
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    unfinished.with_name("2.incomplete").mkdir()
    assert in_process(*options, 1, "--restart") == 0
    assert sorted(entry.name for entry in (tmp_path / "digits").iterdir()) == [".lock", "1", "2"]


def test_a_term_that_is_not_finite_ends_the_run_with_its_name(tmp_path, capsys):
    with np.errstate(all="ignore"):
        status = in_process("--learning-rate", 1e30, "--epochs", 3, "--output-dir", tmp_path)
    error = capsys.readouterr().err
    assert status == 1 and error.count("\n") == 1
    assert error.startswith("training stopped: reconstruction_nll became ")
    advice = "none but the initial ones; begin again with other settings and --restart\n"
    assert error.endswith(f" of epoch 1; the last good weights: {advice}")
    left = sorted(entry.name for entry in (tmp_path / "digits").iterdir())
    assert left == [".lock", "1.incomplete"]
