"""The page: panels over one `State`, and when they are drawn anew."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import jinja2
from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS

from tfp_vae.errors import InputError
from tfp_vae.explorer import pictures
from tfp_vae.explorer.codes_panel import CodesPanel
from tfp_vae.explorer.groups_panel import GroupsPanel
from tfp_vae.explorer.latents_panel import LatentsPanel
from tfp_vae.explorer.map_panel import MapPanel
from tfp_vae.explorer.path_panel import PathPanel
from tfp_vae.explorer.picture_panel import PicturePanel
from tfp_vae.explorer.state import State
from tfp_vae.explorer.upload_panel import MAX_FILE_BYTES, UploadPanel
from tfp_vae.images.colours import Colour

# How long moves of a slider are collected before the next picture: it is that of the last one.
SETTLE_MS = 10
TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent))


class Panel(Protocol):
    """A part of the page: `root` is where `page.html` has an element of its name."""

    root: Any

    def update(self) -> None:
        """Shows the state as it is now."""


class Page:
    """What the panels share. A panel changes the state in `act`, and `update` shows the state.

    Args:
      document: of one browser window.
      state: of that window.
      background: what a transparent image that is dropped is composited on.
    """

    def __init__(self, document: Document, state: State, background: Colour) -> None:
        self.document = document
        self.state = state
        self.background = background
        self._due = False
        self._view = ColumnDataSource(
            {"picture": [""], "original": [""], "caption": [""]}, name="view"
        )
        self._message = ColumnDataSource({"text": [""]}, name="message")
        has_codes = state.model.description.has_codes
        self._picture = PicturePanel(self)
        self._upload = UploadPanel(self)  # what was dropped stays until the next file
        panels: dict[str, Panel] = {"picture": self._picture}
        panels["latents"] = CodesPanel(self) if has_codes else LatentsPanel(self)
        if state.collection is not None:
            panels["map"] = chart = MapPanel(self, state.collection)
            if not has_codes:
                panels["path"] = PathPanel(self, chart)
                panels["groups"] = GroupsPanel(self, state.collection, chart)
        self.panels = panels
        self._add_roots()
        self.draw()

    def _add_roots(self) -> None:
        roots = {name: panel.root for name, panel in self.panels.items()}
        for name, root in (roots | {"upload": self._upload.root}).items():
            root.name = name
            self.document.add_root(root)
        sources = {"view": self._view, "message": self._message, "upload": self._upload.source}
        link = CustomJS(args=sources, code="explorer(view, message, upload)")
        # Models that only a script names belong to the document if one of its models holds them.
        self._picture.root.tags = list(sources.values())
        self.document.js_on_event(DocumentReady, link)

    def act(self, action: Callable[[], None]) -> None:
        """Does what a person asked for; bad input is said on the page."""
        try:
            action()
        except InputError as error:
            self.say(str(error))
        else:
            self.say("")
        self.changed()

    def say(self, text: str) -> None:
        """Shows a line of text, in place of the last one."""
        if self._message.data["text"] != [text]:
            self._message.data = {"text": [text]}

    def changed(self) -> None:
        """Draws the state soon: several changes at once are drawn once."""
        if not self._due:
            self._due = True
            self.document.add_timeout_callback(self.draw, SETTLE_MS)

    def draw(self) -> None:
        """Draws the state."""
        self._due = False
        with self.together():
            self._view.data = {
                "picture": [pictures.png_url(self.state.picture())],
                "original": [self._picture.original()],
                "caption": [self._picture.caption()],
            }
            for panel in self.panels.values():
                panel.update()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Sends what changes within in one message."""
        self.document.hold("combine")
        try:
            yield
        finally:
            self.document.unhold()


def add_page(document: Document, state: State, background: Colour, about: str) -> None:
    """Makes a document of Bokeh the page of a state; `about` is the line below its title."""
    page = Page(document, state, background)
    document.title = str(state.model.path or "a model in memory")
    document.template = TEMPLATES.get_template("page.html")
    document.template_variables.update(
        about=about,
        panels=list(page.panels),
        codes=state.model.description.has_codes,
        max_bytes=MAX_FILE_BYTES,
    )
