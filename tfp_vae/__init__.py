"""Variational autoencoders on `tfp.layers` and Keras `model.fit`, whose loss is the ELBO.

The names below are imported, and TensorFlow with them, when they are first used.
"""

import lazy_loader

from tfp_vae import on_import

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

on_import.install()
