"""The path between the last two images that were chosen."""

from typing import TYPE_CHECKING

from bokeh.models import Column, Div, RadioButtonGroup

from tfp_vae.explorer import pictures
from tfp_vae.explorer.html import STYLE, image, link
from tfp_vae.explorer.state import Chosen
from tfp_vae.explorer.widgets import on_change

if TYPE_CHECKING:
    from tfp_vae.explorer.map_panel import MapPanel
    from tfp_vae.explorer.page import Page

LINEAR, SPHERICAL = range(2)
WAIT_MS = 60  # the picture comes first


class PathPanel:
    """A strip of images, and the same as a GIF."""

    def __init__(self, page: "Page", chart: "MapPanel") -> None:
        self.page, self.chart = page, chart
        self._kind = RadioButtonGroup(labels=["linear", "spherical"], active=LINEAR)
        on_change(self._kind, "active", lambda _: self.update())
        self._strip = Div(
            text="Choose two images on the map.", sizing_mode="stretch_width", stylesheets=[STYLE]
        )
        self.root = Column(children=[self._kind, self._strip], sizing_mode="stretch_width")
        self._drawn: tuple[list[Chosen], int] = ([], LINEAR)

    def update(self) -> None:
        """Draws the path soon, where it is another one."""
        ends, kind = self.page.state.chosen, self._kind.active
        if ends is not self._drawn[0] or kind != self._drawn[1]:
            self._drawn = (ends, kind)
            self.page.document.add_timeout_callback(self._draw, WAIT_MS)

    def _draw(self) -> None:
        state = self.page.state
        if len(state.chosen) < 2:
            return
        latents = state.path(spherical=self._kind.active == SPHERICAL)
        images = state.model.decode(latents)
        names = [f"step {step}" for step in range(len(images))]
        strip = "".join(map(image, images, names))
        gif = link("Download the GIF", pictures.gif_url(images), "path.gif")
        with self.page.together():
            self._strip.text = f'<div class="strip">{strip}</div><p>{gif}</p>'
            self.chart.draw_path(latents)
