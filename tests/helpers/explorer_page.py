"""A page of the explorer without a browser, and what it shows. Needs Bokeh."""

import base64
import io

import numpy as np
from bokeh.document import Document
from PIL import Image

from tfp_vae.explorer.page import Page
from tfp_vae.explorer.state import State
from tfp_vae.images.colours import BLACK


def page_of(model, found=None):
    return Page(Document(), State(model, found), BLACK)


def shown(page):
    """The picture of the page after all changes: uint8 [H, W]."""
    if page._due:
        page.draw()
    return pixels_of(page._view.data["picture"][0])


def pixels_of(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


def bytes_of(images):
    return np.rint(255 * images).astype(np.uint8)[..., 0]
