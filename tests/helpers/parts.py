"""The test cases of every part: what `build_vae` is given to make a small model of it.

A part that is added to a registry gets its case here; every test of "each part" then covers it, and
a test fails where one has none.
"""

import itertools

CASES = {
    "network": {"dense": [{"hidden_units": (20,)}], "conv": [{}], "resnet": [{"filters": (4, 8)}]},
    "posterior": {
        "multivariate_normal_tril": [{}],
        "independent_normal": [{}],
        "deterministic": [{}],
    },
    "prior": {"standard_normal": [{}]},
    "likelihood": {
        "independent_bernoulli": [{}],
        "continuous_bernoulli": [{}],
        **{
            name: [{"likelihood_scale": scale} for scale in ("shared", "per_pixel", 0.5)]
            for name in ("independent_normal", "discretized_logistic")
        },
    },
}

# Models with another graph of latents. Not every posterior serves for them, nor every option, so
# that they are not among the pairs; each is saved, loaded and exported as a part is.
HIERARCHIES = [
    {"model": "hierarchical", "latent_size": (3, 2)},
    {
        "model": "hierarchical",
        "latent_size": 16,  # not given
        "network": "resnet",
        "filters": (4, 8),
        "groups": (2, 1),
        "group_channels": (1, 1),
    },
]
MODELS = {"vae": [{}], "hierarchical": HIERARCHIES}


def cases(kind):
    """Every case of a kind of part, as options of `build_vae`."""
    return [{kind: name, **options} for name, several in CASES[kind].items() for options in several]


# Each part once, with the default parts of the other kinds; the first of each kind is the default.
EACH_PART = [*cases("network"), *(case for kind in CASES for case in cases(kind)[1:])]
EACH_PART = [case for index, case in enumerate(EACH_PART) if case not in EACH_PART[:index]]
# Every pair of parts of two kinds: every posterior, prior and likelihood, the networks in turn.
EVERY_PAIR = [
    {**network, **posterior, **prior, **likelihood}
    for network, (posterior, prior, likelihood) in zip(
        itertools.cycle(cases("network")),
        itertools.product(cases("posterior"), cases("prior"), cases("likelihood")),
        strict=False,
    )
]
LIKELIHOOD_CASES = cases("likelihood")
POSTERIORS = list(CASES["posterior"])
WITH_KL = [name for name in POSTERIORS if name != "deterministic"]


def name_of(options):
    return "-".join(str(value) for value in options.values())
