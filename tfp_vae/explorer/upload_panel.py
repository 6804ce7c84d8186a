"""An image file that is dropped on the page: its reconstruction, its neighbours, its ELBO."""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import ColumnDataSource, Div

from tfp_vae.errors import InputError
from tfp_vae.explorer.html import STYLE, image, paragraph
from tfp_vae.explorer.widgets import on_change
from tfp_vae.images import files, sources

if TYPE_CHECKING:
    from tfp_vae.explorer.page import Page

MAX_FILE_BYTES = 10_000_000
MAX_PIXELS = 25_000_000  # height times width: what is decoded at once in memory
NEIGHBOURS = 8


class UploadPanel:
    """What the model makes of one image that a person has."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        # `page.html` has the field for the file; its script fills this.
        self.source = ColumnDataSource({"name": [], "content": []}, name="upload")
        on_change(self.source, "data", lambda data: self._received(data))
        self.root = Div(text="", sizing_mode="stretch_width", stylesheets=[STYLE])

    def _received(self, data: Any) -> None:
        if len(data.get("name", [])):
            name = Path(str(data["name"][0])).name[:100]
            self.page.act(lambda: self._show(name, str(data["content"][0])))

    def _show(self, name: str, content: str) -> None:
        model = self.page.state.model
        pixels = read(name, content, model.image_shape, self.page.background)
        self.page.state.choose_image(name, pixels)
        chosen = self.page.state.chosen[-1]
        (reconstruction,) = model.reconstruct(pixels[np.newaxis])
        shown = [
            image(chosen.image, name, "the image"),
            image(reconstruction, name, "reconstruction"),
        ]
        found = self.page.state.collection
        if found is not None:
            for row, distance in zip(*found.nearest(chosen.latent, NEIGHBOURS), strict=True):
                label = f", {found.labels[row]}" if found.labels else ""
                name = found.names[row]
                shown.append(image(found.image(row), name, f"{distance:.2f}{label}"))
        self.root.text = (
            paragraph(self._figures(pixels)) + f'<div class="strip">{"".join(shown)}</div>'
        )

    def _figures(self, pixels: np.ndarray) -> str:
        """The ELBO of one image in words."""
        model = self.page.state.model
        elbo, nll, kl = (float(np.asarray(each)[0]) for each in model.elbo(pixels[np.newaxis]))
        log_likelihood = f"log p(x|z) {-nll:.1f}"
        if not model.description.has_density:
            return f"{log_likelihood} nats; no ELBO: {model.no_density}"
        note = ""
        if model.description.likelihood == "independent_bernoulli":
            note = " (a bound for pixels of 0 and 1; a grey one counts as a chance of 1)"
        return f"ELBO {elbo:.1f} nats = {log_likelihood} - KL {kl:.1f}{note}"


def read(name: str, content: str, image_shape: tuple[int, int, int], background: Any) -> np.ndarray:
    """A PNG or JPEG as an image of a model, cropped to its middle and resized.

    Args:
      name: of the file, for messages.
      content: of the file, in base64.
      image_shape: (H, W, C).
      background: what a transparent image is composited on.

    Returns:
      uint8 or float32 [H, W, C].

    Raises:
      InputError: a file that is too large, damaged, or something else.
    """
    if len(content) > 4 * MAX_FILE_BYTES // 3 + 4:
        raise InputError(f"{name}: too large: expected at most {MAX_FILE_BYTES // 10**6} MB")
    try:
        raw = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name}: damaged on its way") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(raw)
        try:
            height, width, _ = files.file_shape(path)
            if height * width > MAX_PIXELS:
                raise InputError(f"{path}: {width} x {height} pixels: expected at most 25 million")
            return sources.read_one(str(path), image_shape, resize=True, background=background)[0]
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from None
