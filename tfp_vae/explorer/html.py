"""The pieces of HTML that panels are filled with. Texts are escaped: names and labels are data."""

from html import escape

import numpy as np

from tfp_vae.explorer.pictures import png_url

# Of the elements below: a panel's content does not see the page's style.
STYLE = """
.bk-clearfix { display: block !important; }
.strip { display: flex; flex-wrap: wrap; gap: 4px; }
.strip figure { margin: 0; text-align: center; font-size: 11px; color: #555;
  flex: 1 1 52px; max-width: 72px; min-width: 0; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated;
  background: #000; border-radius: 4px; display: block; }
p { margin: 8px 0; }
a { display: inline-block; padding: 6px 12px; border-radius: 6px; color: #fff; background: #3b5bdb;
  text-decoration: none; font-weight: 600; }
a:focus-visible { outline: 3px solid #ffa94d; }
figcaption { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""


def image(pixels: np.ndarray, name: str, caption: str = "") -> str:
    """An image [H, W, C] in [0, 1] with its name, and a line below it."""
    below = (
        f"<figcaption title='{escape(caption)}'>{escape(caption)}</figcaption>" if caption else ""
    )
    return f"<figure><img src='{png_url(pixels)}' alt='{escape(name)}'>{below}</figure>"


def link(text: str, url: str, file: str) -> str:
    """A link that saves `url` as a file."""
    return f"<a href='{url}' download='{escape(file)}'>{escape(text)}</a>"


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"
