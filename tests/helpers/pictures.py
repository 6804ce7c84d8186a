"""Image files and pixels that tests write."""

import numpy as np
from PIL import Image


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def random_bytes(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
