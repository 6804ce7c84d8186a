"""The test cases of every part: what `build_vae` is given to make a small model of it.

A part that is added to a registry gets its case here; every test of "each part" then covers it, and
a test fails where one has none.
"""

import itertools

CASES = {
    "network": {"dense": [{"hidden_units": (20,)}], "conv": [{}], "resnet": [{"filters": (4, 8)}]},
    "posterior": {
        "multivariate_normal_tril": [{}],
        "independent_normal": [{}, {"posterior_scale": 0.5}],
        "flow": [{}],
        "deterministic": [{}, {"sparsity": 0.1}, {"active_units": 2}],
    },
    "prior": {
        "standard_normal": [{}],
        "mixture": [{"prior_components": 5}],
        "vamp": [{"prior_components": 5}],
        "flow": [{}],
    },
    "likelihood": {
        "independent_bernoulli": [{}],
        "continuous_bernoulli": [{}],
        **{
            name: [{"likelihood_scale": scale} for scale in ("shared", "per_pixel", 0.5)]
            for name in ("independent_normal", "discretized_logistic")
        },
    },
    "objective": {
        "elbo": [{}, {"num_samples": 2, "free_bits": 0.1}],
        "iwae": [{"num_samples": 2}],
        "stl": [{"num_samples": 2}],
        "dreg": [{"num_samples": 2}],
    },
    "corruption": {
        "none": [{}],
        **{
            name: [{"corruption_level": 0.2}] for name in ("gaussian", "masking", "salt_and_pepper")
        },
    },
}
# The kinds of which every pair is built; an objective does not go with every posterior, and a
# corruption is the same layer in every model.
COMBINED = ("network", "posterior", "prior", "likelihood")

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
# Latents that are codes, in tests/test_codes.py.
_SMALL = {"filters": (4, 6), "codebook_size": 8, "prior_width": 8, "prior_blocks": 1}
CODES = [
    {"model": "vq_vae", "network": "resnet", "code_size": 3, **_SMALL},
    {"model": "vq_vae_2", "network": "conv", "code_size": 3, **_SMALL},
    {"model": "vq_vae", "network": "conv", "quantizer": "finite_scalar", **_SMALL},
]
MODELS = {"vae": [{}], "hierarchical": HIERARCHIES, "vq_vae": CODES, "vq_vae_2": CODES}


def cases(kind):
    """Every case of a kind of part, as options of `build_vae`."""
    return [{kind: name, **options} for name, several in CASES[kind].items() for options in several]


# Each part once, with the default parts of the other kinds; the first of each kind is the default.
EACH_PART = [*cases("network"), *(case for kind in CASES for case in cases(kind)[1:])]
EACH_PART = [case for index, case in enumerate(EACH_PART) if case not in EACH_PART[:index]]


def goes_together(posterior, prior):
    """A prior with weights needs a KL to train them."""
    return posterior != "deterministic" or prior == "standard_normal"


def _every_pair():
    """Few models that hold every pair of parts of two kinds; the cases of a part in turn."""
    kinds = list(COMBINED)
    models = [
        dict(zip(kinds, names, strict=True))
        for names in itertools.product(*(CASES[kind] for kind in COMBINED))
        if goes_together(names[kinds.index("posterior")], names[kinds.index("prior")])
    ]
    pairs = [set(itertools.combinations(model.items(), 2)) for model in models]
    missing = set.union(*pairs)
    turns = {
        (kind, name): itertools.cycle(CASES[kind][name]) for kind in kinds for name in CASES[kind]
    }
    while missing:
        best = max(range(len(models)), key=lambda index: len(pairs[index] & missing))
        missing -= pairs[best]
        options = {}
        for part in models[best].items():
            options |= {part[0]: part[1], **next(turns[part])}
        yield options


EVERY_PAIR = list(_every_pair())
LIKELIHOOD_CASES = cases("likelihood")
POSTERIORS = list(CASES["posterior"])
WITH_KL = [name for name in POSTERIORS if name != "deterministic"]
EXACT_KL = ["multivariate_normal_tril", "independent_normal"]  # from a standard normal prior


def name_of(options):
    return "-".join(str(value) for value in options.values())
