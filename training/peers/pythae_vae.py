"""The same VAE trained by Pythae's own `BaseTrainer`, with its `VAE` and its loss."""

import functools

from protocol import Absent, serve


def build(settings):
    if settings.posterior != "independent_normal":
        raise Absent("Pythae's VAE has no full covariance")
    if settings.likelihood != "independent_bernoulli":
        raise Absent("Pythae's VAE has no Normal likelihood whose scale is fitted")
    if settings.bfloat16:
        raise Absent("Pythae's trainer has no bfloat16 on a CPU")
    import pythae_model  # after the reasons that hold even where Pythae is missing

    return pythae_model.versions(), functools.partial(pythae_model.train, settings)


serve(build)
