"""The bounds of every prior with every posterior, of one layer of latents and of several."""

import itertools

import numpy as np
import pytest
from helpers.models import small_vae
from helpers.parts import HIERARCHIES, cases, name_of

import tfp_vae

SEEDS = range(100)
DENSITIES = [case for case in cases("posterior") if case["posterior"] != "deterministic"]
MODELS = [
    {**model, **prior}
    for model, prior in itertools.product([*DENSITIES, *HIERARCHIES], cases("prior"))
]


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.slow
@pytest.mark.parametrize("options", MODELS, ids=name_of)
def test_one_draw_is_the_elbo_and_more_draws_raise_the_bound(options, grey_images):
    images = grey_images[:20].round()
    vae = small_vae(**options)
    vae.fit(grey_images.round(), batch_size=65, epochs=3, verbose=0)
    model = tfp_vae.inference_model(vae)
    elbo = np.array([model.elbo(images, seed).elbo.mean() for seed in SEEDS])
    one, ten, hundred = (
        np.array([model.log_marginal_likelihood(images, k, seed).mean() for seed in SEEDS])
        for k in (1, 10, 100)
    )
    difference = elbo.mean() - one.mean()
    error = np.hypot(standard_error(elbo), standard_error(one))
    print(f"\nELBO {elbo.mean():.4f}, K = 1, 10, 100 {one.mean():.4f} {ten.mean():.4f}")
    print(
        f"{hundred.mean():.4f}; ELBO less K = 1: {difference:.4f}, {difference / error:.2f} errors"
    )
    assert abs(difference) < 4 * error
    assert ten.mean() - one.mean() > -3 * np.hypot(standard_error(one), standard_error(ten))
    assert hundred.mean() - ten.mean() > -3 * np.hypot(standard_error(ten), standard_error(hundred))
