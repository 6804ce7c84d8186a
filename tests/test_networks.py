import numpy as np
import pytest
import tensorflow_probability as tfp
import tf_keras
from helpers.models import small_vae
from helpers.parts import HIERARCHIES

import tfp_vae
from tfp_vae.layers.full_covariance import FullCovarianceDense
from tfp_vae.networks import NETWORKS, pyramid
from tfp_vae.networks.resnet import ResNet

SHAPES = [(8, 8, 1), (9, 8, 3), (28, 20, 1), (11, 37, 3), (28, 28, 1), (64, 48, 3)]


# Odd sides and several levels; the easier shapes are for `-m slow`.
HARD = ((11, 37, 3), (64, 48, 3))
TRAINED = [
    shape if shape in HARD else pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES
]


@pytest.mark.parametrize("shape", TRAINED, ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_any_size_and_number_of_channels_trains(network, shape):
    images = np.random.default_rng(0).random((6, *shape)).astype(np.float32)
    vae = small_vae(
        shape, network=network, likelihood="independent_normal", likelihood_scale="per_pixel"
    )
    history = vae.fit(images, epochs=1, verbose=0).history
    assert vae.predict(images, verbose=0).shape == images.shape
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize(
    "options",
    [
        *({"network": network} for network in NETWORKS),
        HIERARCHIES[1],
        {"model": "vq_vae", "network": "conv", "latent_size": 16},
    ],
    ids=str,
)
def test_the_decoder_starts_at_the_mean_pixel_and_not_at_the_mean_logit(options):
    """Of images with black borders they are far apart."""
    images = np.zeros((50, 12, 12, 2), np.float32)
    images[:, 4:8, 4:8] = np.random.default_rng(0).random((50, 4, 4, 2)) < (0.9, 0.3)
    vae = small_vae((12, 12, 2), **{**options, "images": images})
    start = vae.predict(images, verbose=0).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(start, images.mean(axis=(0, 1, 2)), rtol=0.25)


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


@pytest.mark.parametrize(
    ("size", "filters"),
    [
        ((8, 8), (32,)),
        ((28, 28), (32, 64)),
        ((28, 20), (32, 64)),
        ((32, 32), (32, 64, 128)),
        ((9, 37), (16, 32, 64)),
        ((64, 64), (16, 32, 64, 128)),
        ((256, 256), (16, 32, 64, 128, 128, 128)),
    ],
)
def test_depth_follows_the_size_down_to_a_few_positions(size, filters):
    assert pyramid.default_filters(*size) == filters
    assert max(pyramid.smallest(*size, len(filters))) <= pyramid.MAX_POSITIONS


@pytest.mark.parametrize("network", ["conv", "resnet"])
def test_a_large_image_trains_and_filters_may_be_given(network):
    shape = (256, 256, 3)
    images = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    vae = small_vae(shape, network=network, likelihood="independent_normal", filters=(2, 4, 8, 8))
    vae.fit(images, epochs=1, verbose=0)
    assert vae.predict(images, verbose=0).shape == images.shape
    kernels = [layer for layer in vae.encoder.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert {layer.filters for layer in kernels} == {2, 4, 8}


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_unit_is_dead_and_latents_reach_the_image_before_training(network, activation):
    """Every feature varies over the images, and every latent moves what decodes from it."""
    images = np.random.default_rng(0).random((64, 32, 32, 1)).astype(np.float32) ** 4
    vae = small_vae(
        images.shape[1:],
        network=network,
        activation=activation,
        images=images,
        likelihood="independent_normal",
    )
    features = tf_keras.Model(vae.encoder.inputs, vae.encoder.layers[-2].input)(images).numpy()
    alive = features.std(axis=0) > 1e-3
    assert alive.mean() > 0.95
    assert 0.1 < features.std() < 10
    latents = np.eye(4, dtype=np.float32)
    decoded = vae.decoder(latents).mean() - vae.decoder(np.zeros((1, 4))).mean()
    assert np.all(np.abs(decoded).max(axis=(1, 2, 3)) > 1e-4)


def test_the_input_is_standardised_in_each_channel_and_images_stay_in_0_to_1():
    rng = np.random.default_rng(0)
    images = (0.1 + rng.random((50, 8, 8, 3)) * [0.1, 0.5, 0.9]).astype(np.float32)
    vae = small_vae(images.shape[1:], images=images, likelihood="independent_normal")
    inputs = tf_keras.Model(vae.encoder.inputs, vae.encoder.layers[1].output)(images).numpy()
    np.testing.assert_allclose(inputs.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(inputs.std(axis=(0, 1, 2)), 1, atol=1e-4)
    as_bytes = np.rint(255 * images).astype(np.uint8)
    of_bytes = small_vae(
        images.shape[1:], images=as_bytes, likelihood="continuous_bernoulli"
    ).encoder.layers[1]
    np.testing.assert_allclose(of_bytes.mean, vae.encoder.layers[1].mean, atol=2e-3)
    decoded = vae.decoder(np.zeros((1, 4))).mean()[0]
    np.testing.assert_allclose(decoded, images.mean(axis=0), atol=0.1)
    with pytest.raises(ValueError, match=r"images \(50, 8, 8, 3\): expected \(N, 8, 8, 1\)"):
        small_vae((8, 8, 1), images=images)


def test_residual_blocks_start_as_the_identity():
    tf_keras.utils.set_random_seed(0)
    network = ResNet("silu", (8, 8))
    x = tf_keras.Input((8, 8, 8))
    block = tf_keras.Model(x, network.block(x, 8))
    values = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(block(values), values)


def test_no_hidden_units_make_a_linear_model():
    vae = tfp_vae.build_vae(
        (8, 8, 1), 4, hidden_units=(), posterior="deterministic", likelihood="independent_normal"
    )
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 8, 8, 1)).astype(np.float32)
    middle = vae.predict((a + b) / 2, verbose=0)
    average = (vae.predict(a, verbose=0) + vae.predict(b, verbose=0)) / 2
    np.testing.assert_allclose(middle, average, atol=1e-5)


@pytest.mark.parametrize("features", [4, 3000])
def test_the_kernel_of_off_diagonals_counts_for_less(features):
    layer = FullCovarianceDense(3)
    random = np.random.default_rng(0)
    x = random.normal(size=(5, features)).astype(np.float32)
    layer(x)
    kernel, bias = random.normal(size=(features, 9)), random.normal(size=9)
    layer.set_weights([kernel, bias])
    params, plain = layer(x).numpy(), x @ kernel.astype(np.float32)
    mean, scale = params[:, :3], tfp.math.fill_triangular(params[:, 3:] - bias[3:]).numpy()
    expected = tfp.math.fill_triangular(plain[:, 3:]).numpy()
    weights = np.where(np.eye(3) == 1.0, 1.0, 1.0 / np.sqrt(3.0))
    np.testing.assert_allclose(mean, plain[:, :3] + bias[:3], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scale, np.tril(weights) * expected, rtol=1e-4, atol=1e-4)
    again = FullCovarianceDense.from_config(layer.get_config())
    again(x)
    again.set_weights([kernel, bias])
    np.testing.assert_array_equal(again(x), params)
    with pytest.raises(TypeError, match="activation"):  # `call` has none
        FullCovarianceDense(3, activation="relu")


def test_a_full_covariance_learns_as_fast_as_a_diagonal_one():
    """It ends 29 nats behind; without the division of the off-diagonals' kernel it was 108."""
    rng = np.random.default_rng(0)
    images = (rng.normal(size=(512, 8)) @ rng.normal(size=(8, 256)) * 0.1 + 0.5).clip(0, 1)
    images = images.reshape(-1, 16, 16, 1).astype(np.float32)
    reached = []
    for posterior in ("multivariate_normal_tril", "independent_normal"):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(
            (16, 16, 1),
            32,
            hidden_units=(200,),
            posterior=posterior,
            likelihood="independent_normal",
            images=images,
        )
        vae.compile(tf_keras.optimizers.Adam(1e-3))
        reached.append(vae.fit(images, batch_size=32, epochs=12, verbose=0).history["elbo"][-1])
    assert reached[0] > reached[1] - 60
