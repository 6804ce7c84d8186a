"""Variational autoencoders on `tfp.layers` and Keras `model.fit`, whose loss is the ELBO."""

import sys

__version__ = "0.1.0"

# While `python -m tfp_vae` looks for its __main__, argv[0] is "-m": its --help must not wait for
# TensorFlow. Every other import registers the classes with Keras, so that saved models load.
if sys.argv[:1] != ["-m"]:
    from tfp_vae.quiet import import_tensorflow

    import_tensorflow()

    from tfp_vae.evaluation import evaluate
    from tfp_vae.export import export
    from tfp_vae.inference import load
    from tfp_vae.likelihoods import (
        IndependentBernoulli,
        IndependentContinuousBernoulli,
        IndependentNormalSharedScale,
    )
    from tfp_vae.posteriors import Deterministic, IndependentNormal, MultivariateNormalTriL
    from tfp_vae.regularizers import KLDivergenceRegularizer
    from tfp_vae.vae import VAE, build_vae, negative_log_likelihood

__all__ = [
    "VAE",
    "Deterministic",
    "IndependentBernoulli",
    "IndependentContinuousBernoulli",
    "IndependentNormal",
    "IndependentNormalSharedScale",
    "KLDivergenceRegularizer",
    "MultivariateNormalTriL",
    "build_vae",
    "evaluate",
    "export",
    "load",
    "negative_log_likelihood",
]
