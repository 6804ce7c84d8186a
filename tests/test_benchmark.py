"""The benchmark's table and JSON, and its word on contenders that are absent; never its speed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import tfp_vae
from training.config import Config
from training.peers import cases

PEERS = Path(cases.__file__).parent
COMMAND = [sys.executable, "-m", "training.benchmark"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=600)


def test_help_does_not_import_tensorflow():
    code = "import sys, training.benchmark; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    done = run("--help")
    assert done.returncode == 0 and "--growth" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--dataset", "no_such_set"], "--dataset no_such_set"),
        (["--rounds", "0"], "--rounds 0"),
        (["--peer", "torch=no/such/python"], "--peer torch=no/such/python"),
        (["--peer", "torch=."], "--peer torch=.: expected NAME=PYTHON"),
        (["--out", "no/such/folder/a.json"], "no/such/folder/a.json"),
        (["--out", "."], "a folder: expected a file"),
        (["--case"], "--case []: expected at least one"),
        (["--case", "x"], "--case x: input should be 'dense-diagonal'"),
        (["--contender", "--case", "dense-full"], "--contender"),
        (
            ["--dataset", "digits", "--case", "resnet-64"],
            "--case resnet-64: images of 8x8: expected",
        ),
    ],
)
def test_bad_input_is_one_line(arguments, named):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert named in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_table_and_json(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
    np.save(tmp_path / "images.npy", images)
    # An environment without PyTorch: this interpreter, told to look nowhere for packages.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    done = run(
        *("--dataset", str(tmp_path / "images.npy"), "--out", str(tmp_path / "out.json")),
        *("--case", "dense-diagonal", "dense-iwae-5", "--contender", "ours", "torch", "floor"),
        *("--peer", f"torch={bare}", "--batch-size", "16", "--steps", "2", "--rounds", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert "us/image" in done.stdout and "absent" in done.stdout
    cases = json.loads((tmp_path / "out.json").read_text())["cases"]
    assert len(cases["dense-iwae-5"]["ours"]["ratios"]) == 2
    assert cases["dense-iwae-5"]["floor"]["absent"] == "has no iwae-5"
    case = cases["dense-diagonal"]
    assert "No module named" in case["torch"]["absent"]
    for name in ("ours", "floor"):
        assert len(case[name]["microseconds_per_image"]) == 2
        assert min(case[name]["microseconds_per_image"]) > 0 and case[name]["peak_bytes"] > 2**20


@pytest.mark.slow
def test_case_for_64x64_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8)
    (tmp_path / "faces").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "faces" / f"{index}.jpg")
    done = run(
        *("--dataset", str(tmp_path / "faces"), "--out", str(tmp_path / "out.json")),
        *("--case", "resnet-64", "--contender", "ours", "stock", "input", "floor", "pythae"),
        *("--batch-size", "4", "--steps", "1", "--rounds", "1"),
    )
    assert done.returncode == 0, done.stderr
    assert "reading and decoding 8 files: " in done.stdout
    assert "tfp_vae's input alone" in done.stdout and "images/s" in done.stdout
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["decoding"]["images"] == 8 and out["decoding"]["images_per_second"] > 0
    assert out["models"]["resnet-64"]["filters"] == [16, 32, 64, 128]
    case = out["cases"]["resnet-64"]
    assert "scale" in case["pythae"]["absent"]  # whether or not it is installed
    for name in ("ours", "stock", "input", "floor"):
        assert len(case[name]["microseconds_per_image"]) == 1


def test_flags_replace_a_cases_own_activation_and_latents():
    own = cases.model("resnet-64", SimpleNamespace(activation=None, latent_size=None), (64, 64, 1))
    assert (own["activation"], own["latent_size"]) == ("silu", 64)
    given = SimpleNamespace(activation="tanh", latent_size=3)
    model = cases.model("conv-float32", given, (28, 28, 1))
    assert (model["activation"], model["latent_size"]) == ("tanh", 3)
    assert model["filters"] == (32, 64)


def peer(name):
    """A module of `training/peers` as its programs import it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PEERS)
        return importlib.import_module(name)


def test_the_tutorials_network_has_as_many_parameters_as_ours():
    parts = {"network": "resnet", "filters": (4, 8), "likelihood": "independent_normal"}
    parts["posterior"] = "independent_normal"
    stock = peer("stock_model").build(Config(**parts), (8, 8, 1))
    ours = tfp_vae.build_vae((8, 8, 1), **parts)
    shapes = [sorted(tuple(w.shape) for w in each.trainable_weights) for each in (stock, ours)]
    assert shapes[0] == shapes[1]


@pytest.fixture(scope="module")
def twins():
    """Our network for 8x8 images, and PyTorch's with its weights; (ours, torch's, images)."""
    torch = pytest.importorskip("torch")
    torch_vae = peer("torch_vae")
    images = np.random.default_rng(0).random((4, 8, 8, 1), np.float32)
    # The smallest feature map is of one position, so that both flatten it in the same order.
    own = {"network": "resnet", "activation": "silu", "filters": (4, 6, 8)}
    parts = {"posterior": "independent_normal", "likelihood": "independent_normal"}
    ours = tfp_vae.build_vae((8, 8, 1), 3, images=images, **own, **parts)
    deviation = ours.decoder.layers[-1].scale.numpy()
    settings = SimpleNamespace(**own, **parts, latent_size=3, bfloat16=False, images=images)
    settings.channel_means, settings.channel_deviations = [images.mean()], [images.std()]
    settings.deviation, settings.input_noise = float(deviation), 0.0
    theirs = torch_vae.VAE(settings)
    draw = np.random.default_rng(1).normal
    for trunk, other in ((ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        weights = [each for each in trunk.trainable_weights if "raw_scale" not in each.name]
        for weight, parameter in zip(weights, other.parameters(), strict=True):
            weight.assign(draw(scale=0.2, size=weight.shape))  # else a block would be the identity
            # Height, width, in, out (of transposed convolutions: out, in) in reverse, and so on.
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(weight.shape)]
            parameter.data.copy_(torch.from_numpy(weight.numpy().transpose(axes).copy()))
    return ours, theirs, images


def test_pytorchs_network_is_ours(twins):
    ours, theirs, images = twins
    import tensorflow as tf
    import tf_keras
    import torch

    params = tf_keras.Model(ours.encoder.inputs, ours.encoder.layers[-1].input)(images)
    channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2))
    with torch.no_grad():
        np.testing.assert_allclose(theirs.encoder(channels_first), params, rtol=1e-4, atol=1e-5)
        latents = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
        means = theirs.decoder(torch.from_numpy(latents))
        likelihood = ours.decoder(tf.constant(latents))
        expected = likelihood.mean().numpy().transpose(0, 3, 1, 2)
        np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-5)

        nll = theirs.nll(means.flatten(1), channels_first.flatten(1))
        np.testing.assert_allclose(nll, -np.sum(likelihood.log_prob(images)), rtol=1e-4)
        layer = ours.decoder.layers[-1]
        layer.calibrate(likelihood, tf.constant(images))
        np.testing.assert_allclose(theirs.nll.variance.sqrt(), layer.scale, rtol=1e-4)


def test_pytorchs_network_has_as_many_parameters_as_ours(twins):
    ours, theirs, _ = twins
    own = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    # Our scale is a weight, theirs a buffer.
    assert sum(parameter.numel() for parameter in theirs.parameters()) == own - 1
