"""What the figure of `training.evaluate` says of the latents."""

from typing import Any

import numpy as np

from tfp_vae.evaluation.figures import ACTIVE_VARIANCE, Evaluation


def draw_latents(axes: Any, found: Evaluation) -> None:
    """The KL of each latent, or the variance of its mean, as bars, largest first."""
    bars, name = found.kl_per_dimension, "KL from the prior, nats"
    if bars is None:
        bars, name = found.mean_variance, "variance of the mean"
    order = np.argsort(bars)[::-1]
    active = found.mean_variance[order] > ACTIVE_VARIANCE
    for chosen, colour, kind in ((active, "C0", "active"), (~active, "0.75", "inactive")):
        axes.bar(np.flatnonzero(chosen), bars[order][chosen], color=colour, label=kind)
    axes.set(xlabel="latent dimension, sorted", ylabel=name)
    axes.set_title(f"{found.active_units} of {len(bars)} units are active")
    axes.legend()


def draw_codes(axes: Any, counts: np.ndarray) -> None:
    """How often each code occurs, most frequent first: a line for each level of `counts` [L, K]."""
    for level, row in zip(range(len(counts), 0, -1), counts, strict=True):
        axes.plot(np.sort(row)[::-1], label=f"level {level}")
    axes.set(xlabel="code, sorted", ylabel="how often it occurs")
    axes.set_title(f"{np.count_nonzero(counts)} of {counts.size} codes occur")
    if len(counts) > 1:
        axes.legend()
