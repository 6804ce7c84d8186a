"""Paths between latents."""

import numpy as np
import pytest

from tfp_vae.latent_space import paths

START, STOP = np.random.default_rng(0).normal(size=(2, 6))


@pytest.mark.parametrize("path", [paths.linear, paths.spherical])
def test_the_ends_are_those_given(path):
    latents = path(START, STOP, steps=7)
    assert latents.shape == (7, 6)
    np.testing.assert_allclose(latents[[0, -1]], [START, STOP], atol=1e-12)


def test_the_straight_line_has_even_steps():
    steps = np.diff(paths.linear(START, STOP, steps=5), axis=0)
    np.testing.assert_allclose(steps, np.tile((STOP - START) / 4, [4, 1]))


def test_the_arc_has_even_angles_and_one_length():
    start, stop = START / np.linalg.norm(START), STOP / np.linalg.norm(STOP)
    latents = paths.spherical(start, stop, steps=5)
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 1.0)
    cosines = (latents[1:] * latents[:-1]).sum(axis=1)
    np.testing.assert_allclose(np.arccos(cosines), np.arccos(start @ stop) / 4)


@pytest.mark.parametrize("factor", [2.0, -1.0, 0.0])
def test_without_an_arc_it_is_the_straight_line(factor):
    arc = paths.spherical(START, factor * START, steps=5)
    np.testing.assert_allclose(arc, paths.linear(START, factor * START, steps=5), atol=1e-12)
