"""Runs of `--model vq_vae`: two phases, each resumed to the bits it would have had."""

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers.commands import in_process
from helpers.runs import assert_same_end, finished

import tfp_vae
from tfp_vae.models.code_prior import CodePriorModel
from training.run import checkpoints

TINY = ("--model", "vq_vae", "--network", "conv", "--filters", 4, 6, "--codebook-size", 8)
TINY = (*TINY, "--code-size", 3, "--prior-width", 8, "--prior-blocks", 1, "--epochs", 3)
TINY = (*TINY, "--batch-size", 200)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory, clean_environment):
    """A finished run's folder, and what the command printed."""
    output = tmp_path_factory.mktemp("codes")
    return finished(output, *TINY, environment=clean_environment)


def test_a_run_says_what_it_is(never_stopped):
    folder, printed = never_stopped
    assert "4 codes an image; " in printed and "of the codes occur, perplexity " in printed
    assert "the prior of the codes, 3 epochs at most:" in printed
    metrics = json.loads((folder / "metrics.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    absent = {"posterior", "prior", "latent_size", "free_bits", "beta"}
    absent |= {"kl_warmup_epochs", "kl_balance_epochs"}
    assert not absent & config.keys()
    assert metrics["num_latents"] == 4 and 0 < metrics["usage"] <= 1
    assert "active_units" not in metrics
    assert metrics["kl"] < 4 * np.log(8.0)  # what the uniform prior has
    assert len((folder / "history.csv").read_text().splitlines()) == 4
    assert len((folder / "prior_history.csv").read_text().splitlines()) == 4
    described = tfp_vae.load(folder).description
    assert (described.model, described.prior) == ("vq_vae", "autoregressive")


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param(tfp_vae.VAE, id="model", marks=pytest.mark.slow),
        pytest.param(CodePriorModel, id="prior"),
    ],
)
def test_a_stopped_run_ends_with_the_bits_it_would_have_had(
    phase, never_stopped, tmp_path, monkeypatch, capsys
):
    save = checkpoints.Checkpoints.on_epoch_end

    def stopped(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch == 0 and isinstance(self.model, phase):
            raise RuntimeError("the power went")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the power went"):
        patch.setattr(checkpoints.Checkpoints, "on_epoch_end", stopped)
        in_process(*TINY, "--output-dir", tmp_path)
    if phase is CodePriorModel:
        longer = [*TINY]
        longer[longer.index("--epochs") + 1] = 4
        assert in_process(*longer, "--output-dir", tmp_path, "--resume") == 2
        assert capsys.readouterr().err.endswith("expected the same: its model is trained\n")
    assert in_process(*TINY, "--output-dir", tmp_path, "--resume") == 0
    names = ("history.csv", "prior_history.csv", "metrics.json", "README.md")
    assert_same_end(tmp_path / "digits" / "1", never_stopped[0], *names)


@pytest.mark.slow
def test_no_epochs_of_the_prior_leave_it_uniform(tmp_path):
    argv = (*TINY, "--prior-epochs", 0, "--output-dir", tmp_path)
    assert in_process(*argv) == 0
    folder = tmp_path / "digits" / "1"
    assert tfp_vae.load(folder).description.prior == "uniform"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["kl"] == pytest.approx(4 * np.log(8.0), rel=1e-6)
    assert not (folder / "prior_history.csv").exists()


TWO_DEVICES = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tf_keras, tfp_vae
images = np.random.default_rng(0).random((128, 8, 8, 1)).round().astype(np.float32)
batches = tf.data.Dataset.from_tensor_slices(images).batch(32)
small = {"filters": (4, 6), "codebook_size": 8, "code_size": 3}

def trained(strategy):
    tf_keras.utils.set_random_seed(0)
    with strategy.scope():
        vae = tfp_vae.build_vae(
            (8, 8, 1), model="vq_vae_2", network="conv", images=images, seed=0,
            prior_width=8, prior_blocks=1, **small)
        vae.compile("adam")
    found = vae.fit(batches, epochs=3, validation_data=batches, verbose=0).history
    with strategy.scope():
        prior = tfp_vae.CodePriorModel(vae)
        prior.compile("adam")
    of_prior = prior.fit(batches, epochs=3, validation_data=batches, verbose=0).history
    return {**found, **{f"prior {key}": value for key, value in of_prior.items()}}

one = trained(tf.distribute.OneDeviceStrategy("/cpu:0"))
two = trained(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))
assert one.keys() == two.keys() and "prior val_elbo" in one
for key, values in one.items():
    np.testing.assert_allclose(two[key], values, rtol=1e-5, err_msg=key)
"""


@pytest.mark.slow
def test_two_devices_train_codes_and_their_prior_as_one():
    done = subprocess.run([sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
