"""Reading PNG and JPEG files, which may be damaged or malicious. Imports no TensorFlow."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from tfp_vae.errors import ImageError
from tfp_vae.images import transparency
from tfp_vae.images.colours import BLACK, Colour
from tfp_vae.images.warnings import pillow_silenced

# The first bytes of every PNG and of every JPEG file.
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_PIXELS = 50_000_000  # height times width; larger images may be decompression bombs
ORIENTATION_TAG = 0x0112  # EXIF
SWAPPED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_OPENERS = {PNG: PngImageFile, JPEG: JpegImageFile}


def find_files(folder: str | Path) -> list[Path]:
    """Every PNG and JPEG file in `folder` and its sub-folders, sorted by path.

    Raises:
      ImageError: there is none.
    """
    paths = (place / name for place, names in _walk(folder) for name in names)
    found = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ImageError(f"{folder}: no {', '.join(SUFFIXES)} file in it")
    return found


def _walk(folder: str | Path) -> Iterator[tuple[Path, list[str]]]:
    """`folder` and its sub-folders, each once, and the names of what else is in them.

    Links to folders are followed after the folders themselves, so that none has another's name.
    Hidden names, and `__MACOSX` of archives, are left out.
    """
    seen = set()
    waiting = [Path(folder)]
    while waiting:
        for place, folders, others in os.walk(waiting.pop(0)):  # which follows no link by itself
            found = Path(place).resolve()
            folders[:] = [] if found in seen else _visible(folders)
            if found in seen:
                continue
            seen.add(found)
            waiting += [path for name in folders if (path := Path(place, name)).is_symlink()]
            yield Path(place), _visible(others)


def _visible(names: Sequence[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith(".") and name != "__MACOSX")


def file_shape(path: str | Path) -> tuple[int, int, int]:
    """(H, W, C) of an image file, from its header alone.

    Raises:
      ImageError: the header is damaged, not of a PNG or JPEG, or claims more than
        `MAX_FILE_PIXELS`.
    """
    with pillow_silenced(), _open(path) as image:
        height, width = image.height, image.width
        if _orientation(image, path) in SWAPPED:
            height, width = width, height
        grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
        # Pillow opens grey with an alpha as RGBA where both have 16 bits.
        grey |= any(tile.args == "LA;16B" for tile in image.tile)
        return height, width, 1 if grey else 3


def read_file(path: str | Path, channels: int, background: Colour = BLACK) -> np.ndarray:
    """An image file, turned upright as its EXIF says.

    Args:
      path: the file.
      channels: 1 or 3; the image is converted to grey or colour.
      background: what a transparent image is composited on, in colour.

    Returns:
      uint8 [H, W, channels].

    Raises:
      ImageError: the file is damaged, not a PNG or JPEG, or has more than `MAX_FILE_PIXELS`.
    """
    with pillow_silenced(), _open(path) as image:
        orientation = _orientation(image, path)
        try:
            decoded: Image.Image = image
            if image.format == "PNG":
                decoded = transparency.composite(image, background, lambda: _open(path))
            decoded = decoded.convert("L" if channels == 1 else "RGB")
            if orientation != 1:
                decoded = ImageOps.exif_transpose(decoded)
            pixels = np.asarray(decoded)
        except Exception as error:  # Pillow raises many types on damaged bytes
            raise ImageError(f"{path}: damaged ({error})") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _open(path: str | Path) -> ImageFile:
    """Opens an image file and reads its header. Its pixels are not decoded yet.

    The plugin is called directly: `Image.open` prints a warning above 89 million pixels, and opens
    a JPEG of several frames in a format (MPO) whose orientation Pillow does not apply.
    """
    try:
        if not Path(path).is_file():  # opening a named pipe would block
            raise OSError("it is no file")
        with open(path, "rb") as file:
            start = file.read(8)
        opener = next((known for magic, known in _OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            raise OSError("another format")
        image = opener(path)
    except Exception as error:  # Pillow raises many types on damaged bytes
        raise ImageError(f"{path}: not a PNG or JPEG image that can be read ({error})") from error
    if image.width * image.height > MAX_FILE_PIXELS:
        image.close()
        raise ImageError(f"{path}: {image.width} x {image.height} pixels: more than 50 million")
    return image


def _orientation(image: Image.Image, path: str | Path) -> int:
    """The EXIF orientation, 1..8, that the file has before its pixels; 1 where it has none."""
    try:
        # The method of a PNG would decode it, to look for EXIF behind the pixels.
        return Image.Image.getexif(image).get(ORIENTATION_TAG, 1)
    except Exception as error:  # Pillow raises many types on damaged bytes
        raise ImageError(f"{path}: damaged EXIF ({error})") from error
