"""Dropout: in training only, exact under resume, in each network, refused by a hierarchy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae

import tfp_vae
from tfp_vae.networks.dropout import CountedDropout

ONES = tf.ones([100, 200])
IMAGES = np.random.default_rng(0).random((60, 12, 12, 1)).astype(np.float32)


def dropouts(model):
    return [layer for layer in model.layers if isinstance(layer, CountedDropout)]


def test_it_drops_a_share_in_training_and_nothing_otherwise():
    layer = CountedDropout(0.25, seed=1)
    for arguments in ({}, {"training": False}):
        np.testing.assert_array_equal(layer(ONES, **arguments), ONES)
    first, second = (layer(ONES, training=True).numpy() for _ in range(2))
    np.testing.assert_allclose(np.unique(first), [0.0, 1 / 0.75], rtol=1e-6)
    assert np.mean(first == 0) == pytest.approx(0.25, abs=0.01)
    assert np.mean((first == 0) == (second == 0)) == pytest.approx(0.25**2 + 0.75**2, abs=0.02)


def test_its_draws_follow_the_seed_of_keras_and_differ_between_layers():
    def masks():
        tf_keras.utils.set_random_seed(3)
        return [CountedDropout(0.5)(ONES, training=True).numpy() for _ in range(2)]

    one, other = masks(), masks()
    np.testing.assert_array_equal(one, other)
    assert np.mean(one[0] == one[1]) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_keeps_the_type_of_its_input(dtype):
    layer = CountedDropout(0.5, seed=1, dtype=tf_keras.mixed_precision.Policy(dtype))
    assert layer(ONES, training=True).dtype == layer.compute_dtype


@pytest.mark.parametrize(
    "network", ["dense", pytest.param("conv", marks=pytest.mark.slow), "resnet"]
)
def test_each_network_has_it_and_an_exported_model_does_not_draw(network, tmp_path):
    vae = small_vae(IMAGES.shape[1:], network=network, dropout=0.5, images=IMAGES)
    assert len(dropouts(vae.encoder)) == len(dropouts(vae.decoder)) > 0
    params = vae.encoder.layers[-2].output
    features = tf_keras.Model(vae.encoder.input, params)
    noisy, other = (features(IMAGES, training=True).numpy() for _ in range(2))
    assert np.abs(noisy - other).max() > 0
    np.testing.assert_array_equal(features(IMAGES), features(IMAGES))
    vae.fit(IMAGES, epochs=1, verbose=0)
    tfp_vae.export(vae, tmp_path / "model")
    model = tfp_vae.load(tmp_path / "model")
    np.testing.assert_allclose(
        model.encode(IMAGES), vae.encoder(IMAGES, training=False).mean(), atol=1e-5
    )
    assert not dropouts(small_vae(IMAGES.shape[1:], network=network).encoder)


def test_a_saved_model_continues_its_draws(tmp_path):
    vae = small_vae(IMAGES.shape[1:], likelihood="independent_normal", dropout=0.3)
    vae.fit(IMAGES, batch_size=20, verbose=0)
    vae.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    first, second = (
        each.fit(IMAGES, batch_size=20, shuffle=False, verbose=0).history["loss"]
        for each in (vae, loaded)
    )
    assert first == pytest.approx(second, rel=1e-6)


def test_models_of_codes_have_it():
    vae = small_vae(
        IMAGES.shape[1:], 16, model="vq_vae", network="conv", codebook_size=8, dropout=0.3
    )
    assert np.isfinite(vae.fit(IMAGES, epochs=1, verbose=0).history["loss"][0])


@pytest.mark.parametrize("network", ["dense", "conv", "resnet"])
def test_a_hierarchy_refuses_it(network):
    with pytest.raises(ValueError, match=r"dropout 0\.3: not for model hierarchical: expected 0"):
        tfp_vae.build_vae((12, 12, 1), model="hierarchical", network=network, dropout=0.3)
