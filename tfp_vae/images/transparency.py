"""Transparent PNG images over a background. Imports no TensorFlow.

Transparency is an alpha channel; a palette whose entries have an alpha; or one colour that is
transparent wherever it occurs, the tRNS chunk of images without an alpha channel.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from tfp_vae.images.colours import Colour

# Pillow keeps the high byte of 16-bit colours; this raw mode of its decoder keeps the other one.
_LOW_BYTES = "RGB;16L"


def composite(file: ImageFile, background: Colour, reopen: Callable[[], ImageFile]) -> Image.Image:
    """An image over a background of one colour: a * image + (1 - a) * background.

    Args:
      file: a PNG, opened and not decoded yet.
      background: the colour.
      reopen: opens the same image once more.

    Returns:
      8-bit colours where the image has transparency; else the image in a mode of 8 bits.
    """
    image: Image.Image = file
    raw_mode = str(file.tile[0].args) if file.tile else ""
    transparent = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16 bits per pixel
        deep = np.asarray(image)
        image = Image.fromarray((deep // 256).clip(0, 255).astype(np.uint8))
        if transparent is None:
            return image
        return _over(image, deep != transparent, background)
    if image.mode in ("LA", "RGBA", "PA") or (image.mode == "P" and transparent is not None):
        rgba = image.convert("RGBA")
        return _paste(rgba.convert("RGB"), rgba.getchannel("A"), background)
    if transparent is None:
        return image
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode != "RGB":  # pixels of 2 and 4 bits are scaled to 0..255, `transparent` is not
        scale = {"L;2": 85, "L;4": 17}.get(raw_mode, 1)
        return _over(image, pixels != transparent * scale, background)
    if raw_mode.startswith("RGB;16"):
        pixels = pixels.astype(int) * 256 + _low_bytes(reopen)
    return _over(image, (pixels != transparent).any(axis=-1), background)


def _low_bytes(reopen: Callable[[], ImageFile]) -> np.ndarray:
    """The low bytes of an image with 16 bits per colour, uint8 [H, W, 3]."""
    with reopen() as image:
        image.tile = [tile._replace(args=_LOW_BYTES) for tile in image.tile]
        return np.array(image)


def _over(image: Image.Image, opaque: np.ndarray, background: Colour) -> Image.Image:
    """`image` where the booleans `opaque` [H, W] are true, elsewhere the background."""
    image.info.pop("transparency", None)  # or Pillow would look for a colour to stand for it
    return _paste(image.convert("RGB"), Image.fromarray(opaque.astype(np.uint8) * 255), background)


def _paste(colours: Image.Image, alpha: Image.Image, background: Colour) -> Image.Image:
    return Image.composite(colours, Image.new("RGB", colours.size, background), alpha)
