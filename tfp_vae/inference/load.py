"""Where a model for inference comes from: a SavedModel on disk, or a Keras model in memory."""

import os
from typing import TYPE_CHECKING

from tfp_vae.inference.model import InferenceModel
from tfp_vae.saved_model import contract_1
from tfp_vae.saved_model import load as saved_model

if TYPE_CHECKING:
    from tfp_vae.models.vae import VAE


def load(path: str | os.PathLike[str]) -> InferenceModel:
    """The trained model in a folder that `tfp_vae.export` or training wrote.

    Args:
      path: a version of a run (`saved_models/digits/1`), or the run (`saved_models/digits`), whose
        newest finished version is taken.

    Raises:
      RunError: (a ValueError) a folder that is missing, unfinished, damaged, or of another model.
    """
    folder = saved_model.find(path)
    loaded, description = saved_model.open_model(folder)
    found = loaded.signatures
    if description.contract == 1:
        found = contract_1.functions(found, description)
    # A hierarchy has it; one that an older version exported does not.
    densities = getattr(loaded, "densities_at_draws", None)
    return InferenceModel(
        found, description, path=folder, owner=loaded, densities_at_draws=densities
    )


def inference_model(vae: "VAE") -> InferenceModel:
    """A Keras model in memory as `load` would return it after `export`: the same class.

    It follows the weights of `vae` as these change.

    Raises:
      InputError: (a ValueError) a model that ends in a layer of another package.
    """
    from tfp_vae.saved_model import functions  # needs tf_keras and TFP; a SavedModel does not

    made = functions.signatures(vae)
    concrete = {name: function.get_concrete_function() for name, function in made.items()}
    densities = functions.densities_at_draws(vae)
    return InferenceModel(
        concrete, functions.describe(vae), owner=vae, densities_at_draws=densities
    )
