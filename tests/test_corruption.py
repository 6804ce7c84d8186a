"""Corrupted input: the noise of each kind, where it is, and what a denoising model makes of it."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import layer_of, small_vae

import tfp_vae
from tfp_vae.networks.training_noise import TrainingNoise

KINDS = ["gaussian", "masking", "salt_and_pepper"]
LEVEL = 0.3
GREY = tf.fill([200, 8, 9, 3], 0.5)


def corruption(kind, seed=1, level=LEVEL):
    return layer_of("corruption", kind, seed=seed, corruption_level=level)


def shares(images):
    """The shares of black, grey and white pixels."""
    return [float(np.mean(images == value)) for value in (0.0, 0.5, 1.0)]


def test_gaussian_has_the_deviation_of_its_level():
    noise = corruption("gaussian", level=0.1)(GREY, training=True).numpy() - 0.5
    assert noise.std() == pytest.approx(0.1, rel=0.02) and abs(noise.mean()) < 0.002


def test_gaussian_noise_is_clipped_to_the_range_of_pixels():
    noisy = corruption("gaussian")(tf.zeros_like(GREY), training=True).numpy()
    assert noisy.min() == 0 and np.mean(noisy == 0) == pytest.approx(0.5, abs=0.01)
    assert noisy[noisy > 0].mean() == pytest.approx(LEVEL * np.sqrt(2 / np.pi), rel=0.02)
    assert corruption("gaussian", level=1.0)(GREY, training=True).numpy().max() == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("masking", [LEVEL, 1 - LEVEL, 0]), ("salt_and_pepper", [LEVEL / 2, 1 - LEVEL, LEVEL / 2])],
)
def test_a_share_of_the_pixels_is_set(kind, expected):
    noisy = corruption(kind)(GREY, training=True).numpy()
    assert shares(noisy) == pytest.approx(expected, abs=0.01)
    assert np.all(noisy.min(axis=-1) == noisy.max(axis=-1))  # all channels of a pixel alike
    assert np.all(corruption(kind, level=1.0)(GREY, training=True) != 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_afresh_in_each_step_and_a_function_of_the_steps(kind):
    layer, other = corruption(kind), corruption(kind)
    first, second = (layer(GREY, training=True).numpy() for _ in range(2))
    assert np.mean(first != second) > 0.2
    np.testing.assert_array_equal(other(GREY, training=True), first)
    resumed = corruption(kind)
    resumed.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(GREY, training=True), resumed(GREY, training=True))
    assert np.mean(corruption(kind, seed=2)(GREY, training=True) != first) > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_has_no_noise(kind, grey_images):
    layer = corruption(kind)
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(layer(grey_images, **arguments), grey_images)


def test_evaluation_of_a_model_is_of_clean_images(grey_images):
    plain, noisy = small_vae(), small_vae(corruption="gaussian", corruption_level=LEVEL)
    noisy.set_weights([np.zeros((), np.int64), *plain.get_weights()])
    for vae in (plain, noisy):
        vae.compile(tf_keras.optimizers.SGD(0.0))
    np.testing.assert_array_equal(
        plain.predict(grey_images, verbose=0), noisy.predict(grey_images, verbose=0)
    )
    logs = [vae.evaluate(grey_images, return_dict=True, verbose=0) for vae in (plain, noisy)]
    assert logs[0] == logs[1]


def noises(vae):
    """The layers that add noise in training."""
    return [layer for layer in vae.encoder._flatten_layers() if isinstance(layer, TrainingNoise)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"likelihood": "independent_normal"},
        {"likelihood": "independent_normal", "images": None},
        {"model": "hierarchical"},
        {"posterior": "deterministic", "network": "conv"},
    ],
    ids=str,
)
def test_each_model_has_the_one_noise_that_was_asked_for(options, grey_images):
    options = {"images": grey_images, "likelihood": "continuous_bernoulli", **options}
    (layer,) = noises(small_vae(**options, corruption="masking"))
    assert isinstance(layer, tfp_vae.MaskingCorruption) and layer.level == 0.25
    # It is given the pixels themselves, before they are standardised.
    assert isinstance(layer.input._keras_history.layer, tf_keras.layers.InputLayer)


def test_binary_pixels_take_any_noise(grey_images):
    options = {"likelihood": "independent_bernoulli", "images": grey_images}
    (layer,) = noises(small_vae(**options, corruption="gaussian", corruption_level=0.5))
    assert layer.level == 0.5
    assert noises(small_vae(**options)) == []


def test_a_saved_model_continues_its_noise(grey_images, tmp_path):
    vae = small_vae(corruption="salt_and_pepper", posterior="deterministic")
    vae.fit(grey_images, batch_size=65, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    for model in (vae, loaded):
        model.fit(grey_images, batch_size=65, shuffle=False, verbose=0)
    for mine, theirs in zip(vae.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_target_is_the_clean_image():
    """Where all input is masked, the best decoder gives the mean of the clean images."""
    images = np.random.default_rng(0).random((64, 6, 6, 1)).astype(np.float32)
    masked = {"corruption": "masking", "corruption_level": 1.0}
    vae = small_vae((6, 6, 1), 2, posterior="deterministic", **masked)
    vae.compile(tf_keras.optimizers.Adam(0.02))
    vae.fit(images, batch_size=64, epochs=150, verbose=0)
    found = vae.predict(np.zeros((1, 6, 6, 1), np.float32), verbose=0)[0]
    assert np.abs(found - images.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruption": "blur"}, "^corruption 'blur': expected one of none, gaussian, masking"),
        ({"corruption_level": 0.5}, r"^corruption_level 0\.5: only for corruption gaussian, mask"),
        ({"corruption": "masking", "corruption_level": 0.0}, r"^corruption_level 0\.0: input sh"),
        ({"corruption": "gaussian", "corruption_level": 1.5}, r"^corruption_level 1\.5: input sh"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small_vae(**options)


def test_a_level_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"^corruption_level 2: expected a number in \(0, 1\]"):
        tfp_vae.MaskingCorruption(2)
