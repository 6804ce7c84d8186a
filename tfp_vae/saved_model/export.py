"""Writing a SavedModel: plain TensorFlow, which needs neither TFP, tf_keras nor this package."""

import os
from pathlib import Path

import tensorflow as tf

from tfp_vae.models.vae import VAE
from tfp_vae.saved_model import functions


def export(vae: VAE, path: str | os.PathLike[str]) -> None:
    """Writes a `VAE` as a SavedModel with the signatures of `tfp_vae.saved_model.contract`.

    Args:
      vae: a `tfp_vae.VAE` whose encoder and decoder end in layers of this package, or in your own
        subclasses of `tfp_vae.DistributionLayer`.
      path: folder to write to.

    Raises:
      InputError: (a ValueError) a model that ends in a layer of another package.
    """
    signatures, description = functions.signatures(vae), functions.describe(vae)
    module = tf.Module()
    # The variables, not the layers: what loads is a graph, with no Keras object in it.
    module.weights = [*vae.encoder.weights, *vae.decoder.weights, *vae.prior_layer.weights]
    module.densities_at_draws = functions.densities_at_draws(vae)
    tf.saved_model.save(module, str(path), signatures=signatures)
    description.write(Path(path))
