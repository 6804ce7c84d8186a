"""Noise on the encoder's input: in training only, and the same after a resume."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import small_vae

import tfp_vae
from tfp_vae.models.build import INPUT_NOISE

IMAGES = np.random.default_rng(0).random((200, 8, 9, 1)).astype(np.float32)
ZEROS = tf.zeros([200, 8, 9, 1])


def test_it_is_normal_noise_in_training_and_nothing_otherwise():
    layer = tfp_vae.InputNoise(0.3, seed=1)
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(layer(IMAGES, **arguments), IMAGES)
    first, second = (layer(ZEROS, training=True).numpy() for _ in range(2))
    assert first.std() == pytest.approx(0.3, rel=0.02) and abs(first.mean()) < 0.01
    assert np.abs(first - second).min() > 0  # afresh each time


def test_it_is_a_function_of_the_seed_and_the_number_of_draws():
    one, other = (tfp_vae.InputNoise(1.0, seed=3) for _ in range(2))
    one(ZEROS, training=True)
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(one(ZEROS, training=True), other(ZEROS, training=True))
    posterior = tfp_vae.IndependentNormal(4, seed=3)
    draw = tf.convert_to_tensor(posterior(tf.zeros([200, 8])))
    noise = tf.reshape(tfp_vae.InputNoise(1.0, seed=3)(ZEROS, training=True), [200, -1])
    assert abs(np.corrcoef(draw.numpy().ravel(), noise[:, :4].numpy().ravel())[0, 1]) < 0.1


def test_the_levels_of_a_hierarchy_draw_other_noise_than_the_input(monkeypatch):
    seeds, normal = [], tf.random.stateless_normal

    def seen(shape, seed, **options):
        seeds.append(tuple(np.array(seed)))
        return normal(shape, seed, **options)

    options = {"model": "hierarchical", "latent_size": (4, 3, 2)}
    vae = small_vae(**options, likelihood="independent_normal", images=IMAGES)
    monkeypatch.setattr(tf.random, "stateless_normal", seen)
    vae.train_step(tf.constant(IMAGES[:2]))
    assert len(set(seeds)) == len(seeds) == 4  # of the input and of three levels


@pytest.mark.parametrize(
    ("options", "noisy"),
    [
        ({"likelihood": "independent_normal"}, True),
        ({"likelihood": "discretized_logistic"}, True),
        ({"likelihood": "continuous_bernoulli"}, True),
        ({"likelihood": "independent_bernoulli"}, False),  # zeros and ones enter as they are
        ({"likelihood": "independent_normal", "posterior": "deterministic"}, False),
        ({"likelihood": "independent_normal", "images": None}, False),
    ],
    ids=str,
)
def test_which_models_have_it(options, noisy):
    vae = small_vae(**{"images": IMAGES, **options})
    layers = [each for each in vae.encoder.layers if isinstance(each, tfp_vae.InputNoise)]
    assert [layer.stddev for layer in layers] == [INPUT_NOISE] * noisy


LOADED = """
import sys
import numpy as np
import tfp_vae, tf_keras
vae = tf_keras.models.load_model(sys.argv[1])
print(repr(vae.fit(np.load(sys.argv[2]), batch_size=50, shuffle=False, verbose=0).history["loss"]))
"""


def test_a_saved_model_continues_its_noise_in_another_process(tmp_path):
    vae = small_vae(likelihood="independent_normal", images=IMAGES)
    vae.fit(IMAGES, batch_size=50, verbose=0)
    vae.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    argv = [sys.executable, "-c", LOADED, tmp_path / "model.keras", tmp_path / "images.npy"]
    result = subprocess.run(argv, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    expected = vae.fit(IMAGES, batch_size=50, shuffle=False, verbose=0).history["loss"]
    assert eval(result.stdout) == pytest.approx(expected, rel=1e-6)
