"""Images as a browser takes them: data URLs of PNG and GIF, inside the page itself."""

import base64
import io

import numpy as np
from PIL import Image

from tfp_vae.images.grids import to_bytes

FRAME_MS = 80  # how long the GIF of a path shows one image
FILM_SIDE = 224  # pixels: smaller images are enlarged in it by a whole factor


def png(image: np.ndarray) -> bytes:
    """One image [H, W, C] in [0, 1] as a PNG of its own size."""
    file = io.BytesIO()
    _pillow(to_bytes(image)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def png_url(image: np.ndarray) -> str:
    """One image [H, W, C] in [0, 1] as the address of an `img`."""
    return _url("image/png", png(image))


def gif_url(images: np.ndarray) -> str:
    """Images [N, H, W, C] in [0, 1] as an animation, there and back, in an endless loop."""
    pixels = to_bytes(np.concatenate([images, images[-2:0:-1]]))
    factor = max(1, FILM_SIDE // max(pixels.shape[1:3]))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    first, *rest = map(_pillow, pixels)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
    return _url("image/gif", file.getvalue())


def _pillow(pixels: np.ndarray) -> Image.Image:
    """Of uint8 [H, W, C]."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
