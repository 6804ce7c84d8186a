"""Images from files and arrays, and pictures of many images. Imports no Keras.

An image is [H, W, C], C = 1 (grey) or 3 (red, green, blue), uint8 0..255 or float32 0..1.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from tfp_vae.errors import ImageError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"  # what such files begin with
OPENERS = {PNG: PngImageFile, JPEG: JpegImageFile}
SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_PIXELS = 50_000_000  # a larger image is taken for a decompression bomb
SHOWN_SIDE = 48  # pixels: smaller images are enlarged by a whole factor in pictures
ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
ORIENTATION_TAG = 0x0112


def find_files(folder):
    """Every PNG and JPEG file below `folder`, sorted by name.

    Raises:
      ImageError: there is none.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    found = [path for path in found if path.is_file()]
    if not found:
        raise ImageError(f"{folder}: no {', '.join(SUFFIXES)} file in it")
    return found


def _open(path):
    """The header of an image file, for its size; decoding is what a bomb waits for.

    Not `Image.open`: above 89 million pixels it writes a warning of two lines besides ours, and it
    takes a photo of several frames for a format of its own, whose orientation is then not read.
    """
    try:
        if not Path(path).is_file():  # opening a pipe would wait for a writer
            raise OSError("it is no file")
        with open(path, "rb") as file:
            start = file.read(8)
        opener = next((known for magic, known in OPENERS.items() if start.startswith(magic)), None)
        if opener is None:
            raise OSError("another format")
        image = opener(path)
    except Exception as error:  # PIL raises a dozen kinds on damaged bytes
        raise ImageError(f"{path}: not a PNG or JPEG image that can be read ({error})") from error
    if image.width * image.height > MAX_FILE_PIXELS:
        image.close()
        raise ImageError(f"{path}: {image.width} x {image.height} pixels: more than 50 million")
    return image


def _orientation(image, path):
    try:
        return image.getexif().get(ORIENTATION_TAG)
    except Exception as error:  # as above
        raise ImageError(f"{path}: damaged EXIF ({error})") from error


def file_shape(path):
    """(H, W, C) of an image file, from its header alone."""
    with _open(path) as image:
        height, width = image.height, image.width
        if image.format == "JPEG" and _orientation(image, path) in ROTATED:
            height, width = width, height
        grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
        return height, width, 1 if grey else 3


def read_file(path, channels):
    """An image file, upright, as uint8 [H, W, channels]; transparency is dropped.

    Raises:
      ImageError: the file is damaged, or no PNG or JPEG.
    """
    with _open(path) as image:
        try:
            if image.format == "JPEG":
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16 bits a pixel
                image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        except Exception as error:  # as above
            raise ImageError(f"{path}: damaged ({error})") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def checked(array, name):
    """`array` as images, uint8 or float32 [N, H, W, C].

    Raises:
      ImageError: another rank, type or range, NaN, or no image.
    """
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise ImageError(
            f"{name}: shape {array.shape}: expected [N,H,W], [N,H,W,1] or [N,H,W,3], none empty"
        )
    if array.dtype == np.uint8:
        if array.max() == 1:
            raise ImageError(f"{name}: uint8 of 0 and 1 only: expected 0..255, or floats 0..1")
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{name}: {array.dtype} pixels: expected uint8 0..255 or float 0..1")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # NaN too
        raise ImageError(f"{name}: float pixels from {low:g} to {high:g}: expected 0..1, no NaN")
    return array.astype(np.float32)


def to_float(images):
    """Images as float32 in [0, 1]; a tensor in, a tensor out, of the same shape."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return tf.cast(images, tf.float32)


def resize(images, side):
    """The middle of `images` [..., H, W, C] at `side` x `side`, or (height, width); dtype kept."""
    rows, columns = (side, side) if isinstance(side, int) else side
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    # The largest part of the new proportions: a square, for a side.
    cropped_height = tf.minimum(height, tf.maximum(1, width * rows // columns))
    cropped_width = tf.minimum(width, tf.maximum(1, height * columns // rows))
    top, left = (height - cropped_height) // 2, (width - cropped_width) // 2
    images = tf.image.crop_to_bounding_box(images, top, left, cropped_height, cropped_width)
    resized = tf.image.resize(to_float(images), (rows, columns), antialias=True)
    resized = tf.clip_by_value(resized, 0.0, 1.0)
    return tf.cast(tf.round(resized * 255.0), tf.uint8) if images.dtype == tf.uint8 else resized


def grid(images, columns):
    """`images` [N, H, W, C], in rows of `columns`, as one uint8 image with grey lines between."""
    images = np.nan_to_num(np.asarray(images, np.float32)).clip(0, 1)  # NaN is black
    factor = -(-SHOWN_SIDE // max(images.shape[1:3]))
    images = np.rint(images * 255).astype(np.uint8).repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    return canvas


def pairs(originals, reconstructions, columns):
    """One picture of images [N, H, W, C] in rows of `columns`, their reconstructions below them."""
    blank = np.ones([-len(originals) % columns, *originals.shape[1:]], np.float32)
    both = np.stack([np.concatenate([images, blank]) for images in (originals, reconstructions)])
    rows = both.reshape(2, -1, columns, *originals.shape[1:]).swapaxes(0, 1)
    return grid(rows.reshape(-1, *originals.shape[1:]), columns)


def write_png(path, image):
    """Writes one uint8 image [H, W, C]."""
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(path)
