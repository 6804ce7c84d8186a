import numpy as np
import pytest
from helpers.models import small_vae

import tfp_vae
from tfp_vae.networks import NETWORKS

SHAPES = [(8, 8, 1), (9, 8, 3), (28, 20, 1), (11, 37, 3), (28, 28, 1), (64, 48, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_any_size_and_number_of_channels_trains(network, shape):
    images = np.random.default_rng(0).random((6, *shape)).astype(np.float32)
    vae = small_vae(
        shape, network=network, likelihood="independent_normal", likelihood_scale="per_pixel"
    )
    history = vae.fit(images, epochs=1, verbose=0).history
    assert vae.predict(images, verbose=0).shape == images.shape
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize("network", NETWORKS)
def test_parameters_come_in_the_order_of_tfp_layers(network):
    """All means, then all scales: weights that move only the second block move only the scales."""
    vae = small_vae(network=network, likelihood="independent_normal", likelihood_scale="per_pixel")
    latents = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    before = vae.decoder(latents)
    last = [layer for layer in vae.decoder.layers if layer.weights][-1]
    kernel, bias = last.get_weights()
    bias[len(bias) // 2 :] += 1.0
    last.set_weights([kernel, bias])
    after = vae.decoder(latents)
    np.testing.assert_array_equal(after.mean(), before.mean())
    assert np.all(after.stddev().numpy() > before.stddev().numpy())


def test_no_hidden_units_make_a_linear_model():
    vae = tfp_vae.build_vae(
        (8, 8, 1), 4, hidden_units=(), posterior="deterministic", likelihood="independent_normal"
    )
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 8, 8, 1)).astype(np.float32)
    middle = vae.predict((a + b) / 2, verbose=0)
    average = (vae.predict(a, verbose=0) + vae.predict(b, verbose=0)) / 2
    np.testing.assert_allclose(middle, average, atol=1e-5)
