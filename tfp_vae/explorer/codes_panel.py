"""Codes on their grid: a click puts another one."""

from typing import TYPE_CHECKING

import numpy as np
from bokeh.events import Tap
from bokeh.models import Column, ColumnDataSource, Div, HoverTool, Select, Spinner
from bokeh.plotting import figure

from tfp_vae.explorer.codes import code_colours, grid_shape
from tfp_vae.explorer.collection import levels
from tfp_vae.explorer.widgets import button, on_change, row

if TYPE_CHECKING:
    from tfp_vae.explorer.page import Page

MAX_WRITTEN = 10  # columns of a grid whose codes are written into it


class CodesPanel:
    """The grid of codes, and the palette that the next one is taken from."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        described = page.state.model.description
        self._size = described.codebook_size or 0
        by_level = levels(described.latent_levels)
        self._sets = by_level or {"all codes": np.arange(page.state.model.latent_size)}
        self._level = Select(title="Level", options=list(self._sets), value=next(iter(self._sets)))
        on_change(self._level, "value", lambda _: self._choose_level())
        self._position = Spinner(title="Position", low=0, value=0, step=1, width=110)
        self._code = Spinner(
            title="Code to put", low=0, high=self._size - 1, value=0, step=1, width=110
        )
        put = button("Put the code there", lambda: self._put(self._position.value))
        self._cells, self._palette = ColumnDataSource(name="codes"), ColumnDataSource()
        self._picked = ColumnDataSource({"x": [], "y": []})
        self._grid = _tiles(self._cells, 330, "code @code at position @position")
        self._grid.on_event(Tap, self._tapped_grid)
        if len(self._latents) <= MAX_WRITTEN**2:
            style = {"text_align": "center", "text_baseline": "middle", "text_font_size": "11px"}
            self._grid.text("x", "y", text="code", source=self._cells, **style)
        self._codes = _tiles(self._palette, 170, "code @code")
        self._codes.on_event(Tap, self._tapped_palette)
        frame = {"fill_color": None, "line_color": "black", "line_width": 3}
        self._codes.rect("x", "y", 1, 1, source=self._picked, **frame)
        on_change(self._code, "value", lambda _: self._pick())
        chooser = [self._level] if len(self._sets) > 1 else []
        keyed = row(self._position, self._code, put)
        text = Div(text="Pick a code in the palette below, then click where it goes.")
        self.root = Column(
            children=[*chooser, text, self._grid, keyed, self._codes], sizing_mode="stretch_width"
        )
        self._choose_level()

    @property
    def _latents(self) -> np.ndarray:
        """The coordinates of the codes of the grid."""
        return self._sets[self._level.value]

    def _choose_level(self) -> None:
        self._shape = grid_shape(len(self._latents), self.page.state.model.image_shape)
        self._position.high = len(self._latents) - 1
        self._colours = np.array(code_colours(self.page.state.model, self._latents[0]))
        self._columns = grid_shape(self._size, (170, 400))[1]
        codes = np.arange(self._size)
        self._palette.data = {
            "x": codes % self._columns,
            "y": -(codes // self._columns),
            "code": codes,
            "colour": self._colours.tolist(),
        }
        self._pick()
        self.update()

    def _pick(self) -> None:
        code = int(self._code.value or 0)
        self._picked.data = {"x": [code % self._columns], "y": [-(code // self._columns)]}

    def _put(self, position: int | None) -> None:
        code = self._code.value
        if position is not None and code is not None and 0 <= position < len(self._latents):
            latent = int(self._latents[int(position)])
            self.page.act(lambda: self.page.state.set_coordinate(latent, int(code)))

    def _tapped_grid(self, event: Tap) -> None:
        position = _cell(event, self._shape[1], len(self._latents))
        if position is not None:
            self._position.value = position
            self._put(position)

    def _tapped_palette(self, event: Tap) -> None:
        code = _cell(event, self._columns, self._size)
        if code is not None:
            self._code.value = code

    def update(self) -> None:
        """Draws the current codes."""
        codes = self.page.state.latent[self._latents]
        positions = np.arange(len(codes))
        self._cells.data = {
            "x": positions % self._shape[1],
            "y": -(positions // self._shape[1]),
            "code": codes,
            "position": positions,
            "colour": self._colours[codes].tolist(),
        }


def _tiles(source: ColumnDataSource, height: int, hover: str) -> figure:
    """Tiles of side 1 at (x, y), in rows from y = 0 down."""
    plot = figure(height=height, sizing_mode="stretch_width", tools="", toolbar_location=None)
    tiles = plot.rect("x", "y", 1, 1, source=source, color="colour", line_color="white")
    plot.add_tools(HoverTool(renderers=[tiles], tooltips=hover))
    plot.axis.visible = False
    plot.grid.visible = False
    plot.outline_line_color = None
    plot.x_range.range_padding = plot.y_range.range_padding = 0
    return plot


def _cell(event: Tap, columns: int, count: int) -> int | None:
    """The number of the tile that was clicked; None beside the tiles."""
    if event.x is None or event.y is None:
        return None
    column, row = round(event.x), round(-event.y)
    number = row * columns + column
    return number if 0 <= column < columns and 0 <= number < count else None
