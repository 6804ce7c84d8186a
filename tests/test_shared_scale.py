"""The fitted scale of a likelihood: its optimum, its start, and what is left alone."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae

from tfp_vae import objectives
from tfp_vae.layers.shared_scale import CALIBRATION_RATE

FITTED = ("independent_normal", "discretized_logistic")


@pytest.fixture(scope="module")
def images():
    """Grey images [200, 8, 9, 1] around one mean image, 0.06 wide, of 256 levels."""
    rng = np.random.default_rng(0)
    grey = 0.5 + 0.2 * rng.random((1, 8, 9, 1)) + 0.06 * rng.normal(size=(200, 8, 9, 1))
    return (np.rint(255 * grey.clip(0, 1)) / 255).astype(np.float32)


def layer_of(vae):
    return vae.decoder.layers[-1]


def frozen(**options):
    """A model whose network does not move, so that its scale has one optimum."""
    vae = small_vae(posterior="deterministic", **options)
    vae.compile(tf_keras.optimizers.SGD(0.0))
    return vae


@pytest.mark.parametrize("likelihood", FITTED)
def test_the_scale_ends_at_the_maximum_of_the_likelihood(likelihood, images):
    vae = frozen(likelihood=likelihood)
    vae.fit(images, batch_size=200, epochs=100, verbose=0)
    layer = layer_of(vae)
    at = {}
    best = layer.raw_scale.numpy()
    for step in (-0.03, 0.0, 0.03):
        layer.raw_scale.assign(best + step)
        at[step] = vae.evaluate(images, batch_size=200, return_dict=True, verbose=0)["elbo"]
    assert at[0.0] > max(at[-0.03], at[0.03])


def test_a_normal_s_variance_ends_at_the_mean_squared_error(images):
    vae = frozen(likelihood="independent_normal")
    vae.fit(images, batch_size=200, epochs=100, verbose=0)
    error = np.mean((vae.predict(images, verbose=0) - images) ** 2)
    assert float(layer_of(vae).scale) ** 2 == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("options", [{}, {"objective": "iwae", "num_samples": 3}])
def test_images_without_weight_do_not_move_the_scale(options, images):
    if options:
        options = {**options, "posterior": "independent_normal"}
    count = len(images)
    doubled = np.concatenate([images, np.zeros_like(images)])
    weights = np.repeat([2.0, 0.0], count).astype(np.float32)
    scales = []
    for given, weight in ((images, None), (doubled, weights)):
        vae = small_vae(
            **{"posterior": "deterministic", **options}, likelihood="independent_normal"
        )
        for variable in vae.trainable_variables:
            variable.assign(tf.zeros_like(variable))  # whatever is drawn, the mean is grey
        vae.compile(tf_keras.optimizers.SGD(0.0))
        vae.fit(given, given, sample_weight=weight, batch_size=2 * count, epochs=30, verbose=0)
        scales.append(float(layer_of(vae).scale))
    assert scales[0] == pytest.approx(scales[1], rel=1e-4)
    vae.fit(doubled, doubled, sample_weight=0 * weights, batch_size=2 * count, verbose=0)
    assert float(layer_of(vae).scale) == scales[1]


class Replica:
    """The context of one of two replicas, as `tf.distribute` gives it; `sums` are the other's."""

    num_replicas_in_sync = 2

    def __init__(self, sums):
        self.sums = sums

    def all_reduce(self, op, values):
        assert op == "SUM"
        return [value + other for value, other in zip(values, self.sums, strict=True)]


def test_replicas_count_by_their_images_and_none_counts_nothing(monkeypatch):
    for own, count, sums, expected in (
        (0.5, 3, (1.5, 1.0), 0.75),  # 0.5, 0.5, 0.5 and 1.5
        (np.nan, 0, (1.5, 1.0), 1.5),
        (np.nan, 0, (0.0, 0.0), 0.0),
    ):
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda sums=sums: Replica(sums))
        assert float(objectives.mean_of_replicas(tf.constant(own), tf.constant(count))) == expected


def test_a_batch_without_images_does_not_move_the_scale(images):
    layer = layer_of(small_vae(likelihood="independent_normal", images=images))
    before = float(layer.scale)
    layer.calibrate(layer(tf.zeros([0, 72])), tf.zeros([0, 8, 9, 1]))
    assert float(layer.scale) == before > 0


def test_a_step_is_an_exponential_moving_average(images):
    vae = frozen(likelihood="independent_normal")
    before = float(layer_of(vae).scale) ** 2
    error = np.mean((vae.predict(images, verbose=0) - images) ** 2)
    vae.fit(images, batch_size=200, epochs=1, verbose=0)
    expected = before + CALIBRATION_RATE * (error - before)
    assert float(layer_of(vae).scale) ** 2 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("likelihood", FITTED)
def test_the_optimizer_does_not_move_the_scale(likelihood, images):
    """Adam's step of the scale is replaced: after it, the scale is the same as without it."""
    scales = []
    for optimizer in (tf_keras.optimizers.SGD(0.0), tf_keras.optimizers.Adam(0.5)):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(likelihood=likelihood, posterior="deterministic")
        vae.compile(optimizer)
        vae.fit(images, batch_size=200, epochs=1, verbose=0)
        scales.append(float(layer_of(vae).scale))
    assert scales[0] == pytest.approx(scales[1], rel=1e-5)


def test_validation_does_not_move_the_scale_and_a_number_stays(images):
    vae = frozen(likelihood="independent_normal")
    before = float(layer_of(vae).scale)
    vae.evaluate(images, verbose=0)
    assert float(layer_of(vae).scale) == before
    fixed = small_vae(likelihood="independent_normal", likelihood_scale=0.3)
    fixed.fit(images, epochs=1, verbose=0)
    assert layer_of(fixed).scale == 0.3


@pytest.mark.parametrize("likelihood", FITTED)
@pytest.mark.parametrize("scale", ["shared", "per_pixel"])
def test_scales_start_at_the_deviation_of_the_images(likelihood, scale, images):
    vae = small_vae(likelihood=likelihood, likelihood_scale=scale, images=images)
    pixels = vae(images).distribution
    of_unit_scale = {"independent_normal": 1.0, "discretized_logistic": np.pi / np.sqrt(3)}
    stddev = np.mean(pixels.scale) * of_unit_scale[likelihood]
    mean, deviation = images.mean(axis=0), np.sqrt(np.mean((images - images.mean(axis=0)) ** 2))
    assert stddev == pytest.approx(deviation, rel=0.05)
    assert np.abs(pixels.loc - mean).mean() < 2 * deviation  # whatever the latents are


def test_a_perfect_reconstruction_keeps_the_lower_bound():
    vae = frozen(likelihood="independent_normal")
    constant = np.full((50, 8, 9, 1), 0.5, np.float32)
    vae.decoder.layers[-2].set_weights([np.zeros((20, 72)), np.full(72, 0.5)])
    vae.fit(constant, batch_size=50, epochs=200, verbose=0)
    assert 1e-3 <= float(layer_of(vae).scale) < 1.1e-3
