"""How a hierarchy is built: its maps, its start, its precision, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.hierarchies import MAPS, moved, two_kinds
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, name_of

import tfp_vae
from tfp_vae.networks import pyramid
from tfp_vae.networks.map_hierarchy import MapHierarchy


@pytest.fixture(scope="module")
def images():
    return two_kinds()


def test_it_starts_at_its_prior_and_at_the_mean_image(images):
    for options in HIERARCHIES:
        grey = images * 0.5 + 0.2
        vae = small_vae(**options, likelihood="independent_normal", images=grey)
        posterior = vae.encoder(images)
        levels = vae._regularizer.level_divergences(posterior)
        assert np.sum(levels, axis=0).mean() < 2 * vae.prior_layer.latent_size
        decoded = vae.decoder(vae.prior.sample(5)).mean().numpy().mean(axis=0)
        assert np.abs(decoded.mean() - grey.mean()) < 0.05
        assert float(vae.decoder.layers[-1].scale) == pytest.approx(
            float(np.sqrt(np.mean((grey - grey.mean(axis=0)) ** 2))), rel=1e-3
        )


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3), (28, 28, 1)])
def test_maps_have_the_image_s_size_and_the_order_of_the_parameters(shape):
    hierarchy = MapHierarchy("silu", (4, 4), 1, shape, (2, 1), (3, 1))
    top_down = hierarchy.top_down((2, *shape), 1.0)
    pixels = top_down(tf.random.stateless_normal([3, sum(top_down.sizes)], [0, 1]))
    assert pixels.shape == (3, 2 * np.prod(shape))
    top_down.parameters_per_pixel = 1
    maps = tf.reshape(
        top_down(tf.random.stateless_normal([3, sum(top_down.sizes)], [0, 1])), [3, *shape[:2], -1]
    )
    np.testing.assert_array_equal(pixels, pyramid.flat_parameters(maps, 2))
    sides = [pyramid.smallest(*shape[:2], level) for level in (2, 1)]
    assert top_down.level_shapes == [(*sides[0], 3)] * 2 + [(*sides[1], 1)]


def test_a_pixel_depends_on_the_positions_that_a_block_at_the_image_s_size_reaches():
    top_down = MapHierarchy("silu", (4, 6), 2, (28, 28, 1), (1, 1), (1, 1)).top_down(
        (1, 28, 28, 1), 1.0
    )
    top_down(tf.zeros([1, sum(top_down.sizes)]))
    kernel = top_down.out_block.last.kernel
    assert kernel.shape == (3, 3, 2, 2)  # half of the channels at half the size
    kernel.assign(tf.random.stateless_normal(kernel.shape, [0, 1]))  # it starts as the identity
    state = tf.Variable(tf.random.stateless_normal([1, 14, 14, 4], [0, 2]))
    with tf.GradientTape() as tape:
        pixel = tf.reshape(top_down.parameters(state), [28, 28])[14, 14]
    reached = np.abs(tape.gradient(pixel, state)).sum(axis=(0, 3)) > 0
    # Three kernels of 3 reach pixels 11 to 17, and a doubling kernel of 4 from them 5 to 9.
    assert np.flatnonzero(reached.any(axis=1)).tolist() == [5, 6, 7, 8, 9]
    assert np.flatnonzero(reached.any(axis=0)).tolist() == [5, 6, 7, 8, 9]


def test_the_default_maps_follow_the_image():
    hierarchy = MapHierarchy("silu", (), 2, (28, 28, 1), (), ())
    assert (hierarchy.filters, hierarchy.groups) == ((32, 48), (4, 3))
    shapes = hierarchy.top_down((1, 28, 28, 1), 1.0).level_shapes
    assert shapes == [(7, 7, 4)] * 4 + [(14, 14, 2)] * 3
    large = MapHierarchy("silu", (), 2, (64, 64, 3), (), ())
    assert (large.filters, large.groups) == ((16, 32, 48, 64), (4, 3, 2, 1))


def test_densities_stay_float32_under_mixed_precision(images):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        for options in HIERARCHIES:
            vae = moved(small_vae(**options))
            posterior = vae.encoder(images[:5])
            likelihood = vae._decoded(posterior, training=False)
            assert posterior.drawn.state.dtype == tf.bfloat16
            assert posterior.drawn.latents.dtype == posterior.mean().dtype == tf.float32
            found = likelihood.log_prob(images[:5]), vae.divergence(posterior)
            assert all(each.dtype == tf.float32 for each in found)
            density = posterior.log_prob(posterior.drawn.latents + 0.0)
            np.testing.assert_allclose(posterior.drawn.log_posterior, density, rtol=1e-3)
            vae.fit(images, batch_size=50, epochs=1, verbose=0)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    "options",
    [HIERARCHIES[0], pytest.param(HIERARCHIES[1], marks=pytest.mark.slow)],
    ids=name_of,
)
def test_the_step_compiles_under_xla_for_any_batch(options, images):
    vae = small_vae(**options)
    vae.compile("adam", jit_compile=True)
    history = vae.fit(images, batch_size=64, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_size": (3,)}, "latent_size 3: expected a number >= 1 for each of 2 levels"),
        ({"latent_size": (3, 0)}, "latent_size 3 0: expected a number >= 1 for each of 2"),
        ({"latent_size": (3, 2), "model": "vae"}, "latent_size 3 2: only for model hierarchical"),
        ({**MAPS, "latent_size": 3}, "latent_size 3: only for network dense: expected groups"),
        ({"groups": (2,)}, r"groups 2: only for network conv, resnet"),
        (
            {"groups": (2,), "model": "vae", "latent_size": 3},
            "groups 2: only for model hierarchical, not vae",
        ),
        (
            {**MAPS, "filters": (4,) * 5},
            "filters 4 4 4 4 4: expected 4 or fewer numbers, as often as 8x9 pixels can be halved",
        ),
        ({**MAPS, "groups": (2,)}, r"groups 2: expected 2 numbers, one for each res.*: 2x3, 4x5"),
        ({"posterior": "deterministic"}, "posterior deterministic has no density: expected multi"),
        (
            {**MAPS, "posterior": "deterministic"},
            "posterior deterministic: for vectors of latents: expected independent_normal",
        ),
        ({"kl": "exact"}, "kl exact: that of a hierarchy is a mean over draws"),
        ({"hidden_units": ()}, "hidden_units: expected at least one for model hierarchical"),
        ({"model": "tree"}, "model 'tree': expected one of vae, hierarchical"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(options, message):
    options = {"model": "hierarchical", **options}
    if options.get("network", "dense") == "dense":
        options = {"latent_size": (4, 2), **options}
    with pytest.raises(ValueError, match=message) as raised:
        tfp_vae.build_vae((8, 9, 1), **options)
    assert "\n" not in str(raised.value)


def test_a_prior_of_another_size_than_the_top_level_is_named():
    message = "prior over 5 latents: expected 2, those of the top level"
    with pytest.raises(ValueError, match=message):
        tfp_vae.build_vae(
            (8, 9, 1), latent_size=(4, 2), model="hierarchical", prior=tfp_vae.StandardNormal(5)
        )
