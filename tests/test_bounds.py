"""The bounds of every prior with every posterior, of one layer of latents and of several."""

import itertools

import pytest
from helpers.bounds import assert_more_draws_raise_the_bound
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, cases, name_of

import tfp_vae

DENSITIES = [case for case in cases("posterior") if case["posterior"] != "deterministic"]
MODELS = [
    {**model, **prior}
    for model, prior in itertools.product([*DENSITIES, *HIERARCHIES], cases("prior"))
]


@pytest.mark.slow
@pytest.mark.parametrize("options", MODELS, ids=name_of)
def test_one_draw_is_the_elbo_and_more_draws_raise_the_bound(options, grey_images):
    images = grey_images.round()
    vae = small_vae(**options)
    vae.fit(images, batch_size=65, epochs=3, verbose=0)
    assert_more_draws_raise_the_bound(tfp_vae.inference_model(vae), images[:20], range(100))
