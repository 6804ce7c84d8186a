"""Images for a hierarchy, and hierarchies whose weights are not those of the start."""

import numpy as np

MAPS = {"model": "hierarchical", "network": "conv", "filters": (4, 8)}


def two_kinds():
    """100 images of zeros and ones [100, 8, 9, 1], half of them with a bright upper half."""
    drawn = np.random.default_rng(0).random((100, 8, 9, 1)) > 0.6
    drawn[:50, :4] = True
    return drawn.astype(np.float32)


def moved(vae):
    """`vae`, its weights moved at random, so that no initial zero hides anything."""
    random = np.random.default_rng(0)
    # The maps' start larger: by more, scales of 1e-4 would leave few digits of a density.
    on_maps = len(vae.encoder.layers[-1].top_down.level_shapes[0]) > 1
    for weight in vae.trainable_weights:
        change = random.normal(0, 0.05 if on_maps else 0.2, weight.shape)
        weight.assign_add(change.astype(np.float32))
    return vae
