"""Learned priors and flows in use: saved and trained on, on two devices, killed, by commands."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tf_keras
from helpers import folders
from helpers.commands import says_equal, trained, wait_for
from helpers.models import small_vae
from helpers.runs import assert_same_end, start

import tfp_vae
from tfp_vae.__main__ import main

VAMP_AND_FLOW = {"prior": "vamp", "prior_components": 5, "posterior": "flow"}


def test_a_saved_model_trains_on_to_the_same_bits(grey_images, tmp_path):
    in_order = {"batch_size": 65, "shuffle": False, "verbose": 0}
    ended = []
    for stopped in (False, True):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(images=grey_images, **VAMP_AND_FLOW)
        vae.fit(grey_images, epochs=1, **in_order)
        if stopped:
            vae.save(tmp_path / "m.keras")
            vae = tf_keras.models.load_model(tmp_path / "m.keras")
        vae.fit(grey_images, epochs=1, **in_order)
        variables = [*vae.trainable_weights, *vae.optimizer.variables]
        ended.append([variable.numpy() for variable in variables])
    for whole, continued in zip(*ended, strict=True):
        np.testing.assert_array_equal(whole, continued)


# Without noise, a batch on one device is two halves of it on two.
TWO_DEVICES = """
import numpy as np
import tfp_vae
import tensorflow as tf
import tf_keras

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.random.stateless_normal = lambda shape, seed, **options: tf.fill(shape, 0.5)
images = np.random.default_rng(0).random((96, 8, 8, 1)).astype(np.float32).round()
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2
for options in (
    {"prior": "vamp", "prior_components": 5, "posterior": "independent_normal"},
    {"prior": "flow", "posterior": "flow"},
):
    ended = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        tf_keras.utils.set_random_seed(0)
        with strategy.scope():
            vae = tfp_vae.build_vae(
                (8, 8, 1), 2, hidden_units=(8,), seed=0, images=images, **options
            )
            vae.compile(tf_keras.optimizers.SGD(0.02))
        data = tf.data.Dataset.from_tensor_slices(images).batch(32)
        logs = vae.fit(data, epochs=3, verbose=0).history
        ended.append((logs, [w.numpy() for w in vae.trainable_weights]))
    (one, one_weights), (two, two_weights) = ended
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=2e-5, atol=1e-5, err_msg=name)
    for weight, a, b in zip(vae.trainable_weights, one_weights, two_weights):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=weight.name)
    if options["prior"] == "vamp":
        assert 0 <= a.min() and a.max() <= 1 and ((0 < a) & (a < 1)).any()
print("equal")
"""


@pytest.mark.slow
def test_two_devices_train_the_same_weights(clean_environment):
    says_equal(TWO_DEVICES, clean_environment)


@pytest.mark.slow
def test_every_command_takes_them(grey_images, tmp_path, monkeypatch, capsys):
    folders.make(tmp_path, grey_images, **VAMP_AND_FLOW)
    monkeypatch.chdir(tmp_path)
    for command in (
        "info run",
        "sample run s.png --n 4",
        "reconstruct run photos r.png",
        "encode run photos e.csv",
        "interpolate run images.npy:0 images.npy:1 i.png --spherical",
        "traverse run images.npy:4 t.png --dimension 0 1",
        "arithmetic run images.npy:9 a.png --with-label smiling --without-label not_smiling "
        "--labelled classes",
        "search build run classes index.npz",
        "search query run index.npz images.npy:3 q.png",
        "mixture run images.npy mixture.npz --components 2",
        "sample run m.png --sampler gaussian_mixture --mixture mixture.npz",
    ):
        assert main(command.split()) == 0, command
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "prior: vamp" in printed.out and "posterior: flow" in printed.out
    assert {"s.png", "e.csv", "q.png", "m.png"} <= set(os.listdir())
    found = tfp_vae.evaluate(tfp_vae.load("run"), grey_images.round(), num_samples=3)
    assert np.isfinite(found.log_marginal_likelihood.value)
    assert found.refused["mutual_information"] == "the posterior is flow: q(z) needs a Normal one"


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    ["--prior vamp --prior-components 9 --posterior flow", "--prior flow", "--dropout 0.3"],
)
def test_a_killed_run_ends_as_one_that_was_never_stopped(flags, tmp_path, clean_environment):
    argv = [*flags.split(), "--hidden-units", 8, "--latent-size", 2, "--epochs", 40]
    assert trained("--output-dir", tmp_path / "whole", *argv) == 0
    output = tmp_path / "killed"
    process = start(output, *argv, environment=clean_environment)
    wait_for(process, "checkpoints/*.index", output / "digits" / "1.incomplete")
    process.kill()
    process.communicate()
    assert not (output / "digits" / "1").exists()
    assert trained("--output-dir", output, *argv, "--resume") == 0
    whole, resumed = (path / "digits" / "1" for path in (tmp_path / "whole", output))
    assert_same_end(resumed, whole, "metrics.json")
    command = [sys.executable, "-m", "training.evaluate", str(resumed), "--num-samples", "5"]
    evaluated = subprocess.run(command, capture_output=True, text=True, env=clean_environment)
    assert evaluated.returncode == 0, evaluated.stderr
