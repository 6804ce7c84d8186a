"""A slider for each latent, most informative first."""

import math
from typing import TYPE_CHECKING

import numpy as np
from bokeh.models import Column, Select, Slider

from tfp_vae.explorer.collection import informative_first, levels
from tfp_vae.explorer.widgets import on_change, slider

if TYPE_CHECKING:
    from tfp_vae.explorer.page import Page

MAX_SLIDERS = 32  # at once
MIN_REACH = 4.0  # of a slider to either side
STEP = 0.05
COLUMNS = {"display": "grid", "grid-template-columns": "repeat(auto-fill, minmax(170px, 1fr))"}


class LatentsPanel:
    """The sliders, and which latents they are of."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        model, found = page.state.model, page.state.collection
        self._weights = None if found is None else found.weights
        self._weight = "" if found is None else found.weight
        largest = 0.0 if found is None else float(np.abs(found.latents).max())
        self._reach = max(MIN_REACH, math.ceil(1.1 * largest))
        everything = {"all latents": np.arange(model.latent_size)}
        by_level = levels(model.description.latent_levels)
        self._sets = {
            name: informative_first(self._weights, which)
            for name, which in (everything | by_level).items()
        }
        self._set = Select(title="Level", options=list(self._sets), value="all latents")
        self._part = Select(title="Latents, most informative first")
        self._sliders: list[Slider] = []
        self._latents: list[int] = []  # the latent of each slider
        self._grid = Column(styles=COLUMNS, sizing_mode="stretch_width")
        on_change(self._set, "value", lambda _: self._choose_set())
        on_change(self._part, "value", lambda _: self._show())
        self.root = Column(sizing_mode="stretch_width")
        self._choose_set()

    def _choose_set(self) -> None:
        which = self._sets[self._set.value]
        starts = range(0, len(which), MAX_SLIDERS)
        options = [(str(s), f"{s + 1} to {min(s + MAX_SLIDERS, len(which))}") for s in starts]
        self._part.options = options
        self._part.value = "0"
        self._show()
        chooser = [self._set] if len(self._sets) > 1 else []
        chooser += [self._part] if len(options) > 1 else []
        self.root.children = [*chooser, self._grid]

    def _show(self) -> None:
        start = int(self._part.value)
        which = self._sets[self._set.value][start : start + MAX_SLIDERS]
        while len(self._sliders) < len(which):
            self._sliders.append(self._slider(len(self._sliders)))
        self._latents = which.tolist()
        for each, latent in zip(self._sliders, self._latents, strict=False):
            each.title = self._title(latent)
        self.update()
        shown = self._sliders[: len(which)]
        if self._grid.children != shown:
            self._grid.children = shown

    def _slider(self, place: int) -> Slider:
        made = slider(self._reach, STEP)
        on_change(made, "value", lambda value: self._moved(place, value))
        return made

    def _title(self, latent: int) -> str:
        if self._weights is None:
            return f"z{latent}"
        unit = "nats" if self._weight.startswith("KL") else "sd"
        return f"z{latent} · {self._weights[latent]:.2f} {unit}"

    def _moved(self, place: int, value: float) -> None:
        latent, state = self._latents[place], self.page.state
        if np.float32(value) != state.latent[latent]:  # and not set by `update`
            self.page.act(lambda: state.set_coordinate(latent, value))

    def update(self) -> None:
        """Sets the sliders to the current latent."""
        values = self.page.state.latent
        for each, latent in zip(self._sliders, self._latents, strict=False):
            value = float(values[latent])
            if abs(value) > each.end:
                each.start, each.end = -math.ceil(abs(value)), math.ceil(abs(value))
            if np.float32(each.value) != np.float32(value):
                each.value = value
