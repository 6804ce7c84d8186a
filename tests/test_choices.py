"""What `auto` becomes for kinds of images, and that a run keeps it."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers.commands import in_process, trained
from sklearn.datasets import load_digits

from tfp_vae.models import PARTS
from training import choices
from training.config import Config
from training.data.split import Split

RNG = np.random.default_rng(0)
DIGITS = np.rint(load_digits().images / 16 * 255)[..., np.newaxis]
FACES = RNG.normal(0.5, 0.15, (50, 28, 20, 1)).clip(0, 1) * 255
ON_BLACK = np.where(RNG.random((50, 16, 16, 1)) < 0.75, 0, RNG.integers(60, 200, (50, 16, 16, 1)))
COLOUR = np.where(RNG.random((50, 32, 32, 3)) < 0.9, 0, RNG.integers(0, 256, (50, 32, 32, 3)))
BINARY_COLOUR = 255 * RNG.integers(0, 2, (50, 8, 8, 3))


def split(images):
    return Split(len(images), images.shape[1:], pixels=tf.constant(images.astype(np.uint8)))


@pytest.mark.parametrize(
    ("images", "likelihood", "network"),
    [
        (DIGITS, "independent_bernoulli", "dense"),
        (FACES, "independent_normal", "dense"),
        (ON_BLACK, "independent_normal", "dense"),
        (COLOUR, "independent_normal", "resnet"),
        (BINARY_COLOUR, "independent_bernoulli", "dense"),
    ],
    ids=["digits", "faces", "photographs on black", "colour", "binary colour"],
)
def test_likelihood_and_network_follow_the_images(images, likelihood, network):
    config, chosen = choices.choose(Config(batch_size=10), split(images))
    assert (config.likelihood, config.network) == (likelihood, network)
    expected = {"network", "likelihood", "epochs", "patience", "learning_rate_schedule"}
    assert set(chosen) == (expected | {"dropout"} if network == "resnet" else expected)
    assert config.dropout == (0.1 if network == "resnet" else 0.0)
    assert config.patience == -(-config.epochs // 5) and config.learning_rate_schedule == "cosine"
    assert config.chosen_later == []
    assert choices.choose(config, split(images)) == (config, {})


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist_is_binary_and_dense(mnist_dir):
    from training.data import splits

    config = Config(dataset="mnist", data_dir=mnist_dir)
    config, _ = choices.choose(config, splits.read(config)["train"])
    assert (config.likelihood, config.network) == ("independent_bernoulli", "dense")


def test_what_is_given_is_kept():
    given = Config(network="conv", likelihood="continuous_bernoulli", epochs=3)
    config, chosen = choices.choose(given, split(DIGITS))
    assert (config.network, config.likelihood, config.epochs) == ("conv", given.likelihood, 3)
    assert (config.patience, config.learning_rate_schedule) == (0, "constant")
    assert chosen == {}  # whoever gives epochs wants all of them
    config, _ = choices.choose(Config(epochs=30, patience=4), split(DIGITS))
    assert (config.epochs, config.patience) == (30, 4)


@pytest.mark.parametrize(
    ("given", "dropout"),
    [
        ({}, 0.1),
        ({"dropout": 0.25}, 0.25),
        ({"dropout": 0.0}, 0.0),
        ({"likelihood": "discretized_logistic"}, 0.1),
        ({"epochs": 8}, 0.0),
        ({"network": "conv"}, 0.0),
        ({"model": "hierarchical"}, 0.0),
        ({"model": "vq_vae"}, 0.0),
        ({"likelihood": "continuous_bernoulli"}, 0.0),
    ],
)
def test_dropout_is_for_a_residual_network_in_a_long_run(given, dropout):
    config, chosen = choices.choose(Config(**given), split(COLOUR.repeat(2, axis=0)))
    assert config.dropout == dropout
    assert ("dropout" in chosen) is (dropout == 0.1)
    assert config.chosen_later == []


@pytest.mark.parametrize("likelihood", PARTS["likelihood"])
def test_a_likelihood_with_a_scale_has_a_cosine_schedule(likelihood):
    config, chosen = choices.choose(Config(likelihood=likelihood, epochs=3), split(FACES))
    has_scale = likelihood in ("independent_normal", "discretized_logistic")
    assert config.learning_rate_schedule == ("cosine" if has_scale else "constant")
    assert ("learning_rate_schedule" in chosen) is has_scale
    given = Config(likelihood=likelihood, epochs=3, learning_rate_schedule="constant")
    assert choices.choose(given, split(FACES))[0].learning_rate_schedule == "constant"


@pytest.mark.parametrize(
    ("count", "epochs"), [(64, 200), (1900, 69), (12_000, 24), (100_000, 7), (10**8, 1)]
)
def test_epochs_are_passes_within_bounds_of_steps(count, epochs):
    train = Split(count, (64, 64, 3), pixels=tf.zeros([2, 64, 64, 3], tf.uint8) + 128)
    config, chosen = choices.choose(Config(), train)
    assert (config.network, config.epochs) == ("resnet", epochs)
    assert f"epochs {epochs} ({epochs * (count // 64):,} steps)" in choices.sentence(chosen)


def test_what_is_chosen_is_not_chosen_again():
    chosen, _ = choices.choose(Config(), split(FACES))
    assert choices.choose(chosen, None) == (chosen, {})  # no image is looked at


def test_options_of_another_part_than_the_chosen_one_are_refused(tmp_path, capsys):
    assert in_process("--filters", 8, "--output-dir", tmp_path) == 2
    line = capsys.readouterr().err
    assert line == "--filters 8: only for network conv, resnet, not dense\n"
    assert list(tmp_path.iterdir()) == []


def test_the_run_says_and_keeps_what_it_chose(tmp_path, capsys):
    options = ("--batch-size", 700, "--latent-size", 2, "--hidden-units", 4)
    assert in_process(*options, "--output-dir", tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [line for line in printed.out.splitlines() if line.startswith("chosen for these")]
    assert len(lines) == 2 and lines[0] == lines[1]  # at the start and in the summary
    for part in ("network dense (8x8x1", "likelihood independent_bernoulli (", "epochs 200 (400"):
        assert part in lines[0]
    config = json.loads((tmp_path / "digits" / "1" / "config.json").read_text())
    assert (config["network"], config["epochs"], config["patience"]) == ("dense", 200, 40)


@pytest.mark.slow
def test_a_resumed_run_keeps_its_choices_whatever_the_rule_is_now(tmp_path, monkeypatch):
    from training.run import checkpoints

    options = ("--hidden-units", 4, "--latent-size", 2, "--batch-size", 700)
    options = (*options, "--output-dir", tmp_path, "--patience", 3)
    monkeypatch.setattr(choices, "MAX_EPOCHS", 4)
    save = checkpoints.Checkpoints.on_epoch_end

    def interrupted(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch == 1:
            raise RuntimeError("the power went")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power went"):
        patch.setattr(checkpoints.Checkpoints, "on_epoch_end", interrupted)
        in_process(*options)
    monkeypatch.undo()
    assert trained(*options, "--resume", "--network", "conv") == 2
    assert trained(*options, "--resume") == 0
    rows = (tmp_path / "digits" / "1" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 4
