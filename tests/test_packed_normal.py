"""Each test asks the same of `TriangularNormal` and, in float64, of TFP's own way to write it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_vae
from tfp_vae.layers.packed_normal import TriangularNormal, diagonal_places, packed_diagonal

tfd = tfp.distributions
SIZES = (1, 2, 3, 8)


def ours(params, size):
    loc, packed = tf.split(params, [size, -1], axis=-1)
    return TriangularNormal(loc, packed, tf.math.softplus(packed_diagonal(packed, size)))


def stock(params, size):
    loc, packed = tf.split(params, [size, -1], axis=-1)
    scale_tril = tfp.math.fill_triangular(packed)
    diagonal = tf.math.softplus(tf.linalg.diag_part(scale_tril))
    return tfd.MultivariateNormalTriL(loc, tf.linalg.set_diag(scale_tril, diagonal))


def params_of(size, batch=(7,)):
    draw = np.random.default_rng(size).normal
    return tf.constant(draw(size=(*batch, size + size * (size + 1) // 2)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
def test_is_the_same_distribution(size, batch):
    params = params_of(size, batch)
    q, expected = ours(params, size), stock(params, size)
    np.testing.assert_allclose(q.scale_tril, expected.scale_tril, rtol=1e-12)
    assert (q.batch_shape, q.event_shape) == (expected.batch_shape, expected.event_shape)
    np.testing.assert_allclose(q.log_prob(q.mean() + 1), expected.log_prob(q.mean() + 1))


@pytest.mark.parametrize("size", SIZES)
def test_draws_and_kl_have_the_same_gradients(size):
    random = np.random.default_rng(0)
    noise, weights = random.normal(size=(2, 7, size))
    prior = tfd.MultivariateNormalDiag(random.normal(size=size), random.uniform(0.5, 2, size))
    found = []
    for distribution in (ours, stock):
        params = params_of(size)
        with tf.GradientTape() as tape:
            tape.watch(params)
            q = distribution(params, size)
            draw, kl = q.loc + q.scale.matvec(noise), tfd.kl_divergence(q, prior)
            value = tf.reduce_sum(draw * weights) + tf.reduce_sum(kl**2)
        found.append((draw, kl, tape.gradient(value, params)))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_survives_what_tensorflow_and_tfp_do_to_distributions():
    params = params_of(3)
    q = ours(params, 3)
    leaves = tf.nest.flatten(q, expand_composites=True)
    packed_again = tf.nest.pack_sequence_as(q, leaves, expand_composites=True)
    prior = tfd.MultivariateNormalDiag(tf.zeros(3, tf.float64))
    expected = tfd.kl_divergence(stock(params, 3), prior)
    for again in (packed_again, q.copy(validate_args=True)):
        assert isinstance(again, TriangularNormal)
        np.testing.assert_allclose(tfd.kl_divergence(again, prior), expected)
    np.testing.assert_allclose(tfd.kl_divergence(q[2:5], prior), expected[2:5])


def test_the_density_at_its_own_draw_is_known_where_the_scale_is_nearly_singular():
    size, count = 30, 200
    layer = tfp_vae.MultivariateNormalTriL(size, seed=0)
    raw = np.full([count, size + size * (size + 1) // 2], 0.5, np.float32)
    raw[:, size + diagonal_places(size)] = -4.6  # a diagonal of 0.01: the inverse has 1e50
    posterior = layer(raw)
    draw = tf.convert_to_tensor(posterior)
    diagonal = posterior.scale.diag_part().numpy()
    squares = -2 * (posterior.log_prob(draw) + np.log(diagonal).sum(-1)) - size * np.log(2 * np.pi)
    squares = squares.numpy()
    assert squares.min() > 0
    assert abs(squares.mean() - size) < 4 * np.sqrt(2 * size / count)  # of a chi-squared
