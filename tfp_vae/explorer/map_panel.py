"""The map: the latents of the collection in a plane."""

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from bokeh.events import Tap
from bokeh.models import Column, ColumnDataSource, Div, HoverTool, LassoSelectTool
from bokeh.palettes import Category10, Category20, Turbo256
from bokeh.plotting import figure

from tfp_vae.explorer.collection import EncodedCollection, different

if TYPE_CHECKING:
    from tfp_vae.explorer.page import Page

FEW = 3000  # points that are drawn without a graphics card
MAX_LEGEND = 20  # labels in the legend; more are only said on hover
REACH = 0.05  # of the width or height of the map: how near to a point a click must be
TOOLTIP = """
<div style="display:flex; gap:8px; align-items:center">
  <img src="thumbnails/@row" alt="" width="64" height="64"
       style="image-rendering:pixelated; object-fit:contain; background:#000">
  <div style="max-width:200px; overflow-wrap:anywhere">@name<br><b>@label</b></div>
</div>
"""


class MapPanel:
    """Each image is a point; a click chooses one, a lasso a group."""

    def __init__(self, page: "Page", found: EncodedCollection) -> None:
        self.page, self.found = page, found
        labels = found.labels or [""] * len(found.names)
        known = different(labels)
        palette = _palette(len(known))
        colour = dict(zip(known, palette, strict=True))
        x, y = found.points.T.astype(np.float32)
        self.source = ColumnDataSource(
            {
                "x": x,
                "y": y,
                "row": np.arange(len(x), dtype=np.int32),
                "name": found.names,
                "label": labels,
                "colour": [colour[label] for label in labels],
            }
        )
        many = len(x) > FEW
        self.figure = figure(
            height=480,
            sizing_mode="stretch_width",
            tools="pan,wheel_zoom,reset",
            active_scroll="wheel_zoom",
            output_backend="webgl" if many else "canvas",
            toolbar_location="above",
        )
        self.figure.toolbar.logo = None
        lasso = LassoSelectTool(continuous=False)
        self.figure.add_tools(lasso)
        self.figure.toolbar.active_drag = lasso
        points = self.figure.scatter(
            "x",
            "y",
            source=self.source,
            size=4 if many else 7,
            color="colour",
            alpha=0.75,
            line_color=None,
            nonselection_alpha=0.12,
        )
        self.figure.add_tools(HoverTool(renderers=[points], tooltips=TOOLTIP, limit=3))
        self._line = ColumnDataSource({"x": [], "y": []})
        self.figure.x_range.renderers = self.figure.y_range.renderers = [points]
        over = {"level": "overlay"}  # the points are not drawn again when these move
        self.figure.line("x", "y", source=self._line, color="#222222", width=2, alpha=0.7, **over)
        self._chosen = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter(
            "x",
            "y",
            source=self._chosen,
            size=15,
            fill_color=None,
            line_color="black",
            line_width=2,
            **over,
        )
        self._here = ColumnDataSource({"x": [], "y": []})
        self.figure.scatter(
            "x",
            "y",
            source=self._here,
            marker="star",
            size=20,
            fill_color="#e8590c",
            line_color="white",
            line_width=1.5,
            **over,
        )
        self.figure.on_event(Tap, self._tapped)
        self.figure.grid.grid_line_color = "#eeeeee"
        self.figure.axis.axis_line_color = None
        legend = _legend(colour) if 1 < len(known) <= MAX_LEGEND else ""
        note = Div(text=f"{legend}Axes: {found.plane}.", sizing_mode="stretch_width")
        self.root = Column(children=[self.figure, note], sizing_mode="stretch_width")

    def selected(self) -> list[int]:
        """The rows in the lasso."""
        return list(self.source.selected.indices)

    def draw_path(self, latents: np.ndarray) -> None:
        """Draws a path of latents [n, D]; of none, no path."""
        points = self.found.project(latents) if len(latents) else np.empty([0, 2])
        self._line.data = {"x": points[:, 0], "y": points[:, 1]}

    def update(self) -> None:
        """Marks the current latent, and the images that were chosen last."""
        state = self.page.state
        here = self.found.project(state.latent[np.newaxis])
        self._here.data = {"x": here[:, 0], "y": here[:, 1]}
        rows = [chosen.row for chosen in state.chosen if chosen.row is not None]
        at = self.found.points[rows]
        if (
            self._chosen.data["x"] != at[:, 0].tolist()
            or self._chosen.data["y"] != at[:, 1].tolist()
        ):
            self._chosen.data = {"x": at[:, 0].tolist(), "y": at[:, 1].tolist()}

    def _tapped(self, event: Tap) -> None:
        x, y = self.figure.x_range, self.figure.y_range
        if None in (event.x, event.y, x.start, x.end, y.start, y.end):
            return
        away = self.found.points - (event.x, event.y)
        distance = np.abs(away / (x.end - x.start, y.end - y.start))
        row = int(np.argmin((distance**2).sum(axis=1)))
        if (distance[row] < REACH).all():
            self.page.act(lambda: self.page.state.choose(row))


def _legend(colours: dict[str, str]) -> str:
    """A dot and a name for each label."""
    dots = (
        f"<span style='white-space:nowrap; margin-right:12px'><span style='color:{colour}'>&#9679;"
        f"</span> {escape(label)}</span>"
        for label, colour in colours.items()
    )
    return f"<p style='margin:0 0 4px'>{' '.join(dots)}</p>"


def _palette(count: int) -> list[str]:
    if count <= 10:
        return list(Category10[10][:count])
    if count <= 20:
        return list(Category20[20][:count])
    return [Turbo256[index] for index in np.linspace(0, 255, count).astype(int)]
