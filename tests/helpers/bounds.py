"""The importance-weighted bound of a model, beside its ELBO."""

import itertools

import numpy as np


def assert_more_draws_raise_the_bound(model, images, seeds):
    """K = 1 is the ELBO, within 4 standard errors over `seeds`, and K = 10 and 100 do not fall."""
    elbo = np.array([model.elbo(images, seed).elbo.mean() for seed in seeds])
    bounds = [
        np.array([model.log_marginal_likelihood(images, k, seed).mean() for seed in seeds])
        for k in (1, 10, 100)
    ]
    difference, error = elbo.mean() - bounds[0].mean(), _error_of_difference(elbo, bounds[0])
    means = ", ".join(f"{bound.mean():.4f}" for bound in bounds)
    print(f"\nELBO {elbo.mean():.4f}; K = 1, 10, 100: {means}; {difference / error:.2f} errors")
    assert abs(difference) < 4 * error
    for few, many in itertools.pairwise(bounds):
        assert many.mean() - few.mean() > -3 * _error_of_difference(few, many)


def _error_of_difference(one, other):
    """The standard error of the difference of the means of two samples of one size."""
    return np.hypot(one.std(ddof=1), other.std(ddof=1)) / np.sqrt(len(one))
