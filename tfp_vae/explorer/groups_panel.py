"""The direction from one group of images to another, applied with a slider."""

from functools import partial
from typing import TYPE_CHECKING

from bokeh.models import Column, Div, Select

from tfp_vae.explorer.collection import EncodedCollection, different
from tfp_vae.explorer.widgets import button, on_change, row, slider

if TYPE_CHECKING:
    from tfp_vae.explorer.map_panel import MapPanel
    from tfp_vae.explorer.page import Page

NONE = "choose a group"
LASSO = "lasso"
MAX_STRENGTH, STEP = 3.0, 0.05


class GroupsPanel:
    """Two groups, by label or by lasso, and a slider."""

    def __init__(self, page: "Page", found: EncodedCollection, chart: "MapPanel") -> None:
        self.page, self.found, self.chart = page, found, chart
        self._lassoed: list[list[int]] = [[], []]  # rows, of each group
        labels = (
            [] if found.labels is None else [f"label {each}" for each in different(found.labels)]
        )
        self._options = [NONE, *labels]
        self._groups = [
            Select(title=title, options=self._options, value=NONE, width=150)
            for title in ("From", "To")
        ]
        rows = []
        for place, select in enumerate(self._groups):
            on_change(select, "value", lambda _: self._chosen())
            take = partial(self._take_lasso, place)
            rows.append(row(select, button("Take the lasso", take)))
        self._strength = slider(
            MAX_STRENGTH, STEP, title="Strength", name="strength", disabled=True
        )
        on_change(self._strength, "value", lambda value: self._moved(value))
        text = Div(
            text="The mean latent of one group minus that of the other, by label or by lasso."
        )
        self.root = Column(children=[text, *rows, self._strength], sizing_mode="stretch_width")

    def _take_lasso(self, place: int) -> None:
        rows = self.chart.selected()
        if not rows:
            self.page.say("no points are selected: draw a lasso around some on the map")
            return
        self._lassoed[place] = rows
        name = f"{LASSO}, {len(rows)} images"
        select = self._groups[place]
        select.options = [*self._options, name]
        if select.value == name:
            self._chosen()
        select.value = name

    def _rows(self, place: int) -> list[int]:
        value = self._groups[place].value
        if value.startswith(LASSO):
            return self._lassoed[place]
        return self.found.rows_of(value.removeprefix("label ")).tolist()

    def _chosen(self) -> None:
        if NONE in [select.value for select in self._groups]:
            return
        self.page.act(lambda: self.page.state.set_groups(self._rows(0), self._rows(1)))
        self._strength.disabled = self.page.state.direction is None

    def _moved(self, value: float) -> None:
        state = self.page.state
        if state.direction is not None and value != state.strength:
            self.page.act(lambda: state.set_strength(value))

    def update(self) -> None:
        """Sets the slider to the strength."""
        if self._strength.value != self.page.state.strength:
            self._strength.value = self.page.state.strength
