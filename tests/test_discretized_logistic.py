"""The discretised logistic: a probability of 256 levels, stable in float32."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.models import layer_of
from scipy import special

from tfp_vae.layers.discretized_logistic import MIN_SCALE, DiscretizedLogistic

LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)
LOCS = [-40.0, -1.0, 0.0, 0.3, 0.5001, 1.0, 1.02, 30.0]
SCALES = [MIN_SCALE, 1e-3, 0.02, 0.3, 5.0, 1e6]


def expected(loc, scale):
    """Log-probabilities of the 256 levels in float64, by log of a difference of CDFs."""
    loc, scale = np.float64(np.float32(loc)), np.float64(np.float32(scale))
    upper = (np.arange(256) + 0.5) / 255
    below = special.log_expit((upper[:-1] - loc) / scale)  # log P(level <= k)
    above = special.log_expit(-(upper[:-1] - loc) / scale)  # log P(level > k)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The difference of whichever tails are the smaller numbers.
        rise = below[1:] + np.log(-np.expm1(below[:-1] - below[1:]))
        fall = above[:-1] + np.log(-np.expm1(above[1:] - above[:-1]))
    inner = np.where(below[1:] < above[:-1], rise, fall)
    return np.concatenate([below[:1], inner, above[-1:]])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loc", LOCS)
def test_the_levels_have_the_probabilities_of_float64_and_sum_to_one(loc, scale):
    found = DiscretizedLogistic(loc, scale).log_prob(LEVELS).numpy()
    assert np.exp(found.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
    # The borders of a level's interval, in units of the scale, have float32's precision.
    rounding = 1e-7 * (abs(loc) + 1.0) / scale
    np.testing.assert_allclose(found, expected(loc, scale), rtol=1e-5, atol=1e-5 + 4 * rounding)


@pytest.mark.parametrize("level", [0.0, 128 / 255, 1.0])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loc", [-1e6, *LOCS, 1e6])
def test_gradients_are_finite_at_black_grey_and_white(loc, scale, level):
    parameters = [tf.constant(value, tf.float32) for value in (loc, scale)]
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log_prob = DiscretizedLogistic(*parameters).log_prob(level)
    assert np.isfinite(log_prob)
    assert all(np.isfinite(gradient) for gradient in tape.gradient(log_prob, parameters))


@pytest.mark.parametrize("scale", [0.5, 0.9, 1.1, 100.0, 1e6])
@pytest.mark.parametrize("loc", [-1000.0, -3.0, 0.2, 1.5, 1000.0])
def test_the_mean_of_a_wide_or_distant_pixel_keeps_its_precision(loc, scale):
    p = np.exp(expected(loc, scale))
    found = float(DiscretizedLogistic(loc, scale).mean())
    assert found == pytest.approx((p * LEVELS).sum(), abs=2e-6 + 1e-3 / scale)


@pytest.mark.parametrize(("loc", "scale"), [(0.4, 0.05), (-0.1, 0.2), (0.999, 1e-3)])
def test_draws_are_levels_with_these_probabilities(loc, scale):
    pixel = DiscretizedLogistic(loc, scale)
    draws = pixel.sample(200_000, seed=[1, 2]).numpy()
    counts = np.bincount(np.rint(draws * 255).astype(int), minlength=256)
    np.testing.assert_array_equal(draws, LEVELS[np.rint(draws * 255).astype(int)])
    p = np.exp(pixel.log_prob(LEVELS).numpy().astype(np.float64))
    assert np.all(np.abs(counts / len(draws) - p) < 5 * np.sqrt(p / len(draws)) + 1e-4)
    assert float(pixel.mean()) == pytest.approx((p * LEVELS).sum(), abs=0.5 / 255)
    assert float(pixel.mode()) == LEVELS[np.argmax(p)]


def test_an_image_is_the_sum_of_its_pixels_and_other_values_are_the_nearest_level():
    layer = layer_of("likelihood", "discretized_logistic", (2, 3, 1), likelihood_scale="per_pixel")
    params = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    images = np.random.default_rng(1).integers(0, 256, (4, 2, 3, 1)).astype(np.float32) / 255
    likelihood = layer(params)
    scale = MIN_SCALE + np.log1p(np.exp(params[:, 6:]))
    pixels = DiscretizedLogistic(params[:, :6], scale).log_prob(images.reshape(4, 6))
    np.testing.assert_allclose(likelihood.log_prob(images), pixels.numpy().sum(1), rtol=1e-5)
    shifted = np.clip(images + 0.4 / 255, 0, 1)
    np.testing.assert_array_equal(likelihood.log_prob(shifted), likelihood.log_prob(images))
