"""`python -m training.evaluate`: its figures, its files, what it refuses; and labels of images."""

import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import commands
from PIL import Image
from sklearn.datasets import load_digits

import tfp_vae
from tfp_vae.cli.app import run
from training.config import Config
from training.data import splits as data
from training.evaluate import _draw
from training.evaluate import evaluate as command


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs on digits, and on an array that has gone since."""
    folder = tmp_path_factory.mktemp("runs")
    np.savez(folder / "x.npz", train=np.random.default_rng(0).random((60, 8, 8)))
    small = ["--epochs", "1", "--hidden-units", "8", "--latent-size", "4"]
    for flags in (
        ["--batch-size", "500"],
        ["--dataset", f"{folder}/x.npz", "--batch-size", "16", "--posterior", "deterministic"],
    ):
        assert commands.in_process(*small, *flags, "--output-dir", folder) == 0
    (folder / "x.npz").rename(folder / "gone.npz")
    shutil.copytree(folder / "digits" / "1", folder / "unfinished" / "1.incomplete")
    shutil.copytree(folder / "digits" / "1", folder / "plain")
    (folder / "plain" / "config.json").unlink()
    return folder


def in_process(*argv):
    return run(command, "training.evaluate", [str(word) for word in argv])


def test_the_command(runs, clean_environment):
    argv = [sys.executable, "-m", "training.evaluate", str(runs / "digits"), "--num-samples", "10"]
    result = subprocess.run(argv, capture_output=True, text=True, env=clean_environment)
    assert (result.returncode, result.stderr) == (0, "")
    path = runs / "digits" / "1"
    values = json.loads((path / "evaluation.json").read_text())
    counts = values["num_images"], values["num_samples"], values["seed"], values["dataset"]
    assert counts == (180, 10, 0, "digits")
    assert values["config"] == json.loads((path / "config.json").read_text())
    assert values["seconds"] > 0
    for name in ("elbo", "kl", "log_marginal_likelihood", "mutual_information"):
        mean = values[name]
        assert f"{mean['value']:.4f} nats +- {mean['standard_error']:.4f}" in result.stdout
    assert "K = 10" in result.stdout and "marginals only" in result.stdout
    assert "  kl (exact)  " in result.stdout
    test = data.load(Config()).evaluation_batches("test", 180, seed=0)
    images = next(iter(test)).numpy()
    own = tfp_vae.evaluate(tfp_vae.load(path), images, 10)
    assert values["elbo"] == own.elbo._asdict()
    assert values["bits_per_dimension"] == own.bits_per_dimension._asdict()
    metrics = json.loads((path / "metrics.json").read_text())  # by other draws
    np.testing.assert_allclose(values["kl"]["value"], metrics["kl"], rtol=1e-4)
    assert abs(values["elbo"]["value"] - metrics["elbo"]) < 1.0
    with Image.open(path / "evaluation.png") as picture:
        assert np.asarray(picture).std() > 10


def test_limit_seed_and_out(runs, tmp_path, capsys):
    assert in_process(runs / "digits", "--limit", 7, "--num-samples", 2, "--out", tmp_path) == 0
    first = json.loads((tmp_path / "evaluation.json").read_text())
    assert first["num_images"] == 7 and "7 test images of digits" in capsys.readouterr().out
    argv = ["--limit", 7, "--num-samples", 2, "--seed", 1, "--out", tmp_path]
    assert in_process(runs / "digits", *argv) == 0
    other = json.loads((tmp_path / "evaluation.json").read_text())
    assert other["elbo"] != first["elbo"] and other["kl"] == first["kl"]
    argv = ["--limit", 1, "--num-samples", 2, "--out", tmp_path]
    assert in_process(runs / "digits", *argv) == 0
    single = json.loads((tmp_path / "evaluation.json").read_text())
    assert single["elbo"]["standard_error"] is None


def test_a_deterministic_run_says_what_is_absent(runs, capsys):
    (runs / "gone.npz").rename(runs / "x.npz")
    try:
        assert in_process(runs / "x", "--limit", 3) == 0
    finally:
        (runs / "x.npz").rename(runs / "gone.npz")
    printed = capsys.readouterr().out
    assert "\nno elbo, kl, log_marginal_likelihood, " in printed and "deterministic" in printed
    assert "nan" not in printed and "exact" not in printed and "PCA" not in printed
    values = json.loads((runs / "x" / "1" / "evaluation.json").read_text())
    assert values["elbo"] is None and values["reconstruction_nll"]["value"] > 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{runs}/none"], "none: no such folder"),
        (["{runs}/unfinished"], "only the unfinished 1.incomplete"),
        (["{runs}/plain"], "plain: no config.json: expected a run of training.fit"),
        (["{runs}/x"], "x.npz: not a .npy or .npz of plain arrays ([Errno 2] No such file"),
        (["{runs}/digits", "--num-samples", "0"], '"0" for --num-samples. Must be >= 1'),
        (["{runs}/digits", "--limit", "0"], '"0" for --limit. Must be >= 1'),
        (["{runs}/digits", "--limit", "2.5"], '"2.5" is not an integer'),
        (["{runs}/digits", "--seed", "-1"], '"-1" for --seed. Must be >= 0'),
        (["{runs}/digits", "--out", "{out}/none"], "none: expected one that can be written"),
        (["{runs}/digits", "--out", "/proc"], "/proc/evaluation.json: cannot be written"),
        ([], "RUN"),
    ],
)
def test_bad_input(argv, message, runs, tmp_path, capsys):
    assert in_process(*[word.format(runs=runs, out=tmp_path) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir()) and not list((runs / "plain").glob("evaluation*"))


def test_other_images_than_those_of_the_run_are_refused(runs, capsys):
    """Their splits are others, so that some of the test images were trained on."""
    np.savez(runs / "x.npz", train=np.random.default_rng(1).random((60, 8, 8)))
    try:
        assert in_process(runs / "x") == 2
    finally:
        (runs / "x.npz").unlink()
    expected = "as many images as before, with other content: expected the images of"
    assert expected in capsys.readouterr().err


def test_the_figure_names_at_most_ten_classes():
    count = 40
    found = SimpleNamespace(
        kl_per_dimension=np.arange(4.0),
        mean_variance=np.arange(4.0),
        active_units=3,
        num_images=count,
        latent_means=np.random.default_rng(0).normal(size=(count, 4)),
    )
    for names, shown in (
        ((r"$\frac$", "_y", "z\n"), [r"$\frac$", "_y", "z"]),
        ([f"n{i}" for i in range(10)], [f"n{i}" for i in range(10)]),
        ([f"n{i}" for i in range(11)], None),
        (None, None),
    ):
        labels = np.arange(count) % len(names or "abc") - (names is not None)  # -1: has none
        figure = _draw(found, labels, names)
        figure.savefig(io.BytesIO())
        bar = figure.axes[-1]
        written = [text.get_text() for text in bar.get_yticklabels()]
        assert (written == shown) == (shown is not None), written


def test_the_command_draws_label_names(runs, tmp_path, capfd):
    labels = np.arange(60) % 2
    names = np.array([r"$\frac{smiling}$", "\u7b11"])  # not in Matplotlib's font
    train = np.random.default_rng(0).random((60, 8, 8))
    np.savez(runs / "x.npz", train=train, train_labels=labels, label_names=names)
    try:
        assert in_process(runs / "x", "--out", tmp_path) == 0
    finally:
        (runs / "x.npz").unlink()
    assert capfd.readouterr().err == "" and (tmp_path / "evaluation.png").is_file()


def test_labels_follow_the_images():
    digits, splits = load_digits(), data.load(Config())
    pixels = np.rint(digits.images / 16.0 * 255).astype(np.uint8)
    known = {image.tobytes(): label for image, label in zip(pixels, digits.target, strict=True)}
    for split in (splits.train, splits.test):
        expected = [known[image.tobytes()] for image in split.pixels.numpy()]
        np.testing.assert_array_equal(split.labels(), expected)


@pytest.mark.mnist
@pytest.mark.slow
def test_labels_of_mnist(mnist_dir):
    test = data.load(Config(dataset="mnist", data_dir=mnist_dir)).test
    labels = test.labels()
    assert labels.shape == (10_000,)
    means = np.stack([test.pixels.numpy()[labels == k].mean(axis=0).ravel() for k in range(10)])
    rows = test.pixels.numpy().reshape(10_000, -1)
    distances = (means**2).sum(1) - 2.0 * rows @ means.T
    assert np.mean(distances.argmin(axis=1) == labels) > 0.75  # 0.1 in any other order


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys; from tfp_vae.cli.app import run; import training.evaluate as e; "
        "run(e.evaluate, 'x', ['--help']); print('tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.rstrip().endswith("False") and "--num-samples" in result.stdout
