"""The training images that a model starts from: their mean, deviation and principal components."""

import math

import numpy as np

from tfp_vae.layers import LIKELIHOODS
from tfp_vae.networks import NETWORKS
from training.config import Config
from training.data.split import Split

COMPONENTS_OF = 4000  # images, whose principal components a model takes: more gain little
MAX_VALUES = 2**26  # of these in all: a quarter of a gigabyte in float32


def start_images(train: Split, config: Config) -> np.ndarray:
    """The first training images [N, H, W, C], as `tfp_vae.build_vae` takes them."""
    count = train.sample_size
    binary = LIKELIHOODS[config.likelihood].classes()[0].binary
    if NETWORKS[config.network].load().linear_path and not binary:
        count = min(COMPONENTS_OF, max(count, MAX_VALUES // math.prod(train.shape)))
    return train.head(max(count, config.prior_components)).numpy()
