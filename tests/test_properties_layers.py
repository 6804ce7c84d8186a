"""Whatever the parameters of a distribution are: finite numbers, and finite gradients."""

import functools
import itertools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import layer_of
from helpers.parts import CASES, EXACT_KL, LIKELIHOOD_CASES, POSTERIORS, WITH_KL, name_of
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.priors.standard_normal import StandardNormal

BATCH, LATENTS, IMAGE = 3, 4, (2, 3, 1)
MAX_FLOAT32 = float(np.finfo(np.float32).max)
VALUES = st.one_of(
    st.floats(-8, 8, width=32),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e-45, 0.5, -100.0, 100.0, 1e6, -1e6, MAX_FLOAT32, -MAX_FLOAT32]),
)
GREYS = st.sampled_from([0.0, 1e-30, 1e-7, 0.25, 0.5, 0.5000001, 1.0 - 6e-8, 1.0])


def params_of(size):
    return npst.arrays(np.float32, (BATCH, int(size)), elements=VALUES, fill=st.nothing())


def fewer(part):
    return hypothesis.settings(
        max_examples=max(1, hypothesis.settings.default.max_examples // part)
    )


@functools.cache
def posterior_layer(name):
    layer = layer_of("posterior", name, LATENTS, seed=1)
    layer.build((None, int(layer.params_size(LATENTS))))
    return layer


@functools.cache
def likelihood_layer(likelihood, **options):
    layer = layer_of("likelihood", likelihood, IMAGE, seed=1, **options)
    layer.build((None, int(layer.params_size(IMAGE))))
    return layer


def require_finite(values, params, numbers, tape):
    gradient = tape.gradient(values, params)
    for what, tensor in (("value", values), ("gradient", gradient)):
        assert np.isfinite(tensor).all(), (what, tensor.numpy(), numbers)


@pytest.mark.parametrize(
    ("name", "exact"),
    [*itertools.product(EXACT_KL, [True]), *itertools.product(WITH_KL, [False])],
    ids=lambda value: {True: "exact", False: "monte_carlo"}.get(value, value),
)
@hypothesis.given(data=st.data())
@fewer(2)
def test_every_kl_is_finite_with_its_gradient(name, exact, data):
    layer = posterior_layer(name)
    numbers = data.draw(params_of(layer.params_size(LATENTS)))
    kl = KLDivergenceRegularizer(StandardNormal(LATENTS), use_exact_kl=exact)
    params = tf.constant(numbers)
    with tf.GradientTape() as tape:
        tape.watch(params)
        posterior = layer.make_distribution(params)
        latents = posterior.sample(seed=[1, 2])
        values = kl.divergence(posterior, None if exact else latents)
    require_finite(values, params, numbers, tape)
    assert np.isfinite(latents).all()
    if exact:
        assert (values.numpy() >= -1e-3 * np.maximum(1, np.abs(numbers).max())).all()


@pytest.mark.parametrize("options", LIKELIHOOD_CASES, ids=name_of)
@hypothesis.given(data=st.data())
@fewer(2)
def test_every_log_likelihood_is_finite_with_its_gradient(options, data):
    layer = likelihood_layer(**options)
    numbers = data.draw(params_of(layer.params_size(IMAGE)))
    images = data.draw(npst.arrays(np.float32, (BATCH, *IMAGE), elements=GREYS))
    params = tf.constant(numbers)
    with tf.GradientTape() as tape:
        tape.watch(params)
        likelihood = layer.make_distribution(params)
        values = likelihood.log_prob(images)
    require_finite(values, params, numbers, tape)
    assert np.isfinite(likelihood.mean()).all()


def densities(layer, params, points):
    distribution = layer.make_distribution(tf.constant(params))
    return distribution.mean().numpy(), distribution.log_prob(points).numpy()


@pytest.mark.parametrize("options", LIKELIHOOD_CASES, ids=name_of)
@hypothesis.given(data=st.data())
@fewer(10)
def test_an_image_does_not_depend_on_its_batch(options, data):
    layer = likelihood_layer(**options)
    numbers = data.draw(params_of(layer.params_size(IMAGE)))
    points = data.draw(npst.arrays(np.float32, (BATCH, *IMAGE), elements=GREYS))
    together = densities(layer, numbers, points)
    for row in range(BATCH):
        alone = densities(layer, numbers[row : row + 1], points[row : row + 1])
        for whole, part in zip(together, alone, strict=True):
            np.testing.assert_allclose(whole[row : row + 1], part, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", POSTERIORS)
@hypothesis.given(data=st.data())
@fewer(10)
def test_a_latent_does_not_depend_on_its_batch(name, data):
    layer = posterior_layer(name)
    numbers = data.draw(params_of(layer.params_size(LATENTS)))
    together = layer.make_distribution(tf.constant(numbers))
    for row in range(BATCH):
        alone = layer.make_distribution(tf.constant(numbers[row : row + 1]))
        for moment in ("mean", "stddev"):
            whole, part = getattr(together, moment)(), getattr(alone, moment)()
            np.testing.assert_allclose(whole[row : row + 1], part, rtol=1e-5)


def through_config(layer):
    plain = tf_keras.saving.serialize_keras_object(layer)
    return tf_keras.saving.deserialize_keras_object(plain, safe_mode=True)


@pytest.mark.parametrize("name", POSTERIORS)
@hypothesis.given(seed=st.integers(0, 2**31 - 1), size=st.integers(1, 600))
@fewer(10)
def test_a_posterior_comes_back_from_its_config(name, seed, size):
    layer = layer_of("posterior", name, size, seed=seed)
    again = through_config(layer)
    assert again.get_config() == layer.get_config() and type(again) is type(layer)


@pytest.mark.parametrize("name", CASES["likelihood"])
@hypothesis.given(
    shape=st.tuples(*[st.integers(1, 300)] * 3), scale=st.floats(1e-3, 1e30) | st.just("per_pixel")
)
@fewer(10)
def test_a_likelihood_comes_back_from_its_config(name, shape, scale):
    options = {"likelihood_scale": scale} if name == "independent_normal" else {}
    layer = layer_of("likelihood", name, shape, **options)
    again = through_config(layer)
    assert again.get_config() == layer.get_config() and type(again) is type(layer)
