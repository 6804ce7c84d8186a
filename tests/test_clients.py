"""Clients that no one here wrote: TensorFlow's own CLI, Keras 3, and the LiteRT converter."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.models import small_vae

import tfp_vae


@pytest.fixture(scope="module", params=["dense", pytest.param("conv", marks=pytest.mark.slow)])
def exported(request, grey_images, tmp_path_factory):
    vae = small_vae(network=request.param)
    vae.fit(grey_images, verbose=0)
    path = tmp_path_factory.mktemp(request.param)
    tfp_vae.export(vae, path)
    return path


def saved_model_cli(*argv):
    code = "import sys; from tensorflow.python.tools.saved_model_cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs(exported, grey_images, tmp_path):
    shown = saved_model_cli("show", "--dir", str(exported), "--all")
    assert shown.returncode == 0, shown.stderr
    for name in ("serving_default", "encode", "decode", "sample", "log_likelihood", "elbo"):
        assert f"signature_def['{name}']" in shown.stdout
    np.save(tmp_path / "image.npy", grey_images[:3])
    run = saved_model_cli(
        *("run", "--dir", str(exported), "--tag_set", "serve", "--signature_def", "encode"),
        *("--inputs", f"image={tmp_path / 'image.npy'}", "--outdir", str(tmp_path)),
    )
    assert run.returncode == 0, run.stderr
    expected = tfp_vae.load(exported).encode(grey_images[:3])
    np.testing.assert_allclose(np.load(tmp_path / "mean.npy"), expected, atol=1e-6)


def test_keras_3_uses_a_signature_as_a_layer(exported, grey_images):
    inputs = keras.Input((8, 9, 1))
    encode = keras.layers.TFSMLayer(str(exported), call_endpoint="encode")
    outputs = keras.layers.Dense(2)(encode(inputs)["mean"])
    model = keras.Model(inputs, outputs)
    mean = tfp_vae.load(exported).encode(grey_images)
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(
        model.predict(grey_images, verbose=0), mean @ kernel + bias, atol=1e-5
    )


@pytest.mark.parametrize(
    ("signature", "outputs"), [("decode", ["mean"]), ("encode", ["mean", "stddev", "scale_tril"])]
)
def test_litert_gives_the_same_numbers(signature, outputs, exported, grey_images):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported), [signature])
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner(signature)
    latents = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    inputs = {"latent": latents} if signature == "decode" else {"image": grey_images[:5]}
    lite = runner(**inputs)
    full = tf.saved_model.load(exported).signatures[signature](**inputs)
    assert sorted(lite) == sorted(outputs)
    for name in outputs:
        np.testing.assert_allclose(lite[name], full[name], atol=1e-5)
