"""The 1,797 digits that scikit-learn carries."""

import numpy as np

NAME = "digits"


def load() -> tuple[np.ndarray, np.ndarray]:
    """Images [1797, 8, 8, 1], uint8, and labels [1797]."""
    from sklearn.datasets import load_digits  # its import takes a second

    digits = load_digits()
    grey = digits.images / 16.0  # 0..16 -> 0..1
    return np.rint(grey * 255).astype(np.uint8)[..., np.newaxis], digits.target
