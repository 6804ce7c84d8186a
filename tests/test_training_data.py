"""What `VAE.fit` refuses in one line, before it trains."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import LaplacePosterior, small_vae, vae_of

import tfp_vae

tfd = tfp.distributions

RNG = np.random.default_rng(0)
GREY = RNG.random((12, 8, 9, 1)).astype(np.float32)
LEVELS = 255 * GREY
OUT_OF_RANGE = r"images: float pixels from [0-9.]+ to 2[0-9.]+: expected 0\.\.1"
SHAPE = r"images of shape \(12, 8, 9\): expected \(N, 8, 9, 1\)"


class OwnNormal(tfp_vae.DistributionLayer):
    """A likelihood of a user's own, in units of their own."""

    def make_distribution(self, params):
        images = tfd.Normal(tf.reshape(params, [-1, 8, 9, 1]), 50.0)
        return tfd.Independent(images, reinterpreted_batch_ndims=3)


class Batches(tf_keras.utils.Sequence):
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.images[4 * index : 4 * index + 4]


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_so_are_images_to_evaluate_and_to_reconstruct(method):
    vae = small_vae()
    for images, message in (
        (LEVELS, OUT_OF_RANGE),
        (GREY[..., 0], SHAPE),
        (LEVELS.astype(np.uint8), r"images of uint8: expected floats in \[0, 1\]"),
        (stream(LEVELS), OUT_OF_RANGE),
    ):
        with pytest.raises(ValueError, match=rf"^{message}$"):
            getattr(vae, method)(images, verbose=0)
    getattr(vae, method)(stream(GREY), verbose=0)


def test_weights_of_classes_are_refused():
    with pytest.raises(ValueError, match=r"^class_weight: images have no classes here: expected "):
        small_vae().fit(GREY, class_weight={0: 1.0}, verbose=0)


@pytest.mark.parametrize("with_weights", [False, True])
def test_a_tuple_of_arrays_is_a_pair(with_weights):
    weights = np.linspace(0, 2, len(GREY)).astype(np.float32)
    found = []
    for as_tuple in (False, True):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(likelihood="independent_normal")
        data = (GREY, GREY[::-1], weights)[: 3 if with_weights else 2]
        if as_tuple:
            history = vae.fit(data, verbose=0)
        else:
            history = vae.fit(*data[:2], sample_weight=(*data, None)[2], verbose=0)
        found.append(history.history)
    assert found[0] == found[1]
    with pytest.raises(ValueError, match=rf"^{OUT_OF_RANGE.replace('images', 'targets')}$"):
        vae.fit((GREY, LEVELS), verbose=0)


def stream(images):
    return tf.data.Dataset.from_tensor_slices(images).batch(12)


@pytest.mark.parametrize("likelihood", ["independent_bernoulli", "independent_normal"])
@pytest.mark.parametrize("wrapped", [np.asarray, tf.constant, stream, Batches])
def test_levels_and_missing_channels_are_refused_in_one_line(wrapped, likelihood):
    vae = small_vae(likelihood=likelihood)
    before = vae.get_weights()
    with pytest.raises(ValueError, match=rf"^{OUT_OF_RANGE}$"):
        vae.fit(wrapped(LEVELS), verbose=0)
    shape = SHAPE if wrapped is not Batches else SHAPE.replace("12", "4")
    with pytest.raises(ValueError, match=rf"^{shape}$"):
        vae.fit(wrapped(GREY[..., 0]), verbose=0)
    with pytest.raises(ValueError, match=r"^images of uint8: expected floats in \[0, 1\]$"):
        vae.fit(wrapped(LEVELS.astype(np.uint8)), verbose=0)
    for mine, theirs in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    vae.fit(wrapped(GREY), verbose=0)


def test_pairs_and_validation_are_checked_too():
    vae = small_vae()
    with pytest.raises(ValueError, match=r"^targets: float pixels"):
        vae.fit(GREY, LEVELS, verbose=0)
    with pytest.raises(ValueError, match=r"^targets: float pixels"):
        vae.fit(tf.data.Dataset.zip((stream(GREY), stream(LEVELS))), verbose=0)
    for validation in (LEVELS, (LEVELS, LEVELS), stream(LEVELS)):
        with pytest.raises(ValueError, match=rf"^{OUT_OF_RANGE}$"):
            vae.fit(GREY, validation_data=validation, verbose=0)
    vae.fit((GREY[i : i + 4] for i in (0, 4, 8)), steps_per_epoch=2, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("kind", "likelihood"),
    [
        ("float64", "independent_normal"),
        ("float16", "independent_normal"),
        ("float64", "discretized_logistic"),
    ],
)
def test_floats_of_every_size_train_alike(kind, likelihood):
    images, found = GREY.astype(kind), []
    for wrapped in (images.astype(np.float32), stream(images)):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(likelihood=likelihood)
        fitted = vae.fit(wrapped, batch_size=12, epochs=2, shuffle=False, verbose=0)
        found.append(fitted.history["loss"])
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GREY[:0], r"images of shape \(0, 8, 9, 1\): expected \(N, 8, 9, 1\), N >= 1"),
        ({"x": GREY}, "images: a dict: expected an array or a tensor"),
        ([GREY], "images: a list: expected an array or a tensor"),
        (stream({"image": GREY}), "images: a dict: expected an array or a tensor"),
    ],
    ids=["none", "dict", "list", "stream of dicts"],
)
def test_what_is_no_batch_of_images_is_refused(data, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        small_vae().fit(data, verbose=0)


def test_noise_around_normal_pixels_is_no_mistake():
    noisy = GREY + RNG.normal(size=GREY.shape).astype(np.float32)
    small_vae(likelihood="independent_normal").fit(noisy, verbose=0)
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        small_vae(likelihood="continuous_bernoulli").fit(noisy, verbose=0)


def test_pixels_of_a_likelihood_of_one_s_own_may_be_anything():
    vae = vae_of(LaplacePosterior(), 8, 4, image_shape=(8, 9, 1))
    with pytest.raises(ValueError, match=r"expected 0\.\.1"):
        vae.fit(LEVELS, verbose=0)
    decoder = tf_keras.Sequential(
        [tf_keras.Input((4,)), tf_keras.layers.Dense(72), OwnNormal(convert_to_tensor_fn="mean")]
    )
    own = tfp_vae.VAE(vae.encoder, decoder)
    own.compile("adam")
    own.fit(LEVELS, verbose=0)
