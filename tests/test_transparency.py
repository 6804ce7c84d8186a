"""Transparent images on a background, and the colours that one may have."""

import concurrent.futures
import struct
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import random_bytes, save
from PIL import Image

from tfp_vae.images import colours, convert, files

RED = (200, 30, 0)


ALPHA = np.array([0, 1, 100, 128, 254, 255], np.uint8)


def blended(pixels, alpha, background):
    """The formula a * c + (1 - a) * background for pixels [H, W, 1 or 3] and alpha [H, W]."""
    alpha = alpha[..., np.newaxis] / 255.0
    return alpha * pixels + (1 - alpha) * np.array(background)


def transparent(kind, path):
    """Writes a transparent PNG [8, 9]; its colours [8, 9, 1 or 3] and its alpha [8, 9]."""
    rng = np.random.default_rng(1)
    alpha = rng.choice(ALPHA, (8, 9))
    grey, colour = random_bytes(8, 9) // 4 * 4, random_bytes(8, 9, 3)
    entries = rng.integers(0, 6, (8, 9)).astype(np.uint8)
    if kind == "RGBA":
        save(path, np.dstack([colour, alpha]))
        return colour, alpha
    if kind == "LA":
        Image.fromarray(np.dstack([grey, alpha]), "LA").save(path)
        return grey[..., None], alpha
    if kind == "palette":
        image = Image.fromarray(entries)
        image.putpalette(colour[0, :6].tobytes())
        image.save(path, transparency=ALPHA.tobytes())
        return colour[0][entries], ALPHA[entries]
    if kind == "palette of one":
        image = Image.fromarray(entries)
        image.putpalette(colour[0, :6].tobytes())
        image.save(path, transparency=4)
        return colour[0][entries], np.where(entries == 4, 0, 255)
    if kind == "bits":
        Image.fromarray(entries > 2).save(path, transparency=1)
        return np.where(entries > 2, 255, 0)[..., None], np.where(entries > 2, 0, 255)
    key = 3, 4
    if kind == "L":
        save(path, grey, transparency=int(grey[key]))
        return grey[..., None], np.where(grey == grey[key], 0, 255)
    if kind == "RGB":
        colour[2] = colour[key]
        save(path, colour, transparency=tuple(map(int, colour[key])))
        return colour, np.where((colour == colour[key]).all(axis=-1), 0, 255)
    if kind == "grey of 16 bits":
        deep = grey.astype(np.uint16) * 256 + entries
        save(path, deep, transparency=int(deep[key]))
        return grey[..., None], np.where(deep == deep[key], 0, 255)
    bits = {"grey of 2 bits": 2, "grey of 4 bits": 4}.get(kind)
    if bits:
        levels = entries % 2**bits
        path.write_bytes(png_of(levels, bits, 0, bytes([0, int(levels[key])])))
        scale = 255 // (2**bits - 1)
        return levels[..., None] * scale, np.where(levels == levels[key], 0, 255)
    if kind == "grey and alpha of 16 bits":
        deep = np.dstack([grey, alpha]).astype(int) * 256 + 17
        path.write_bytes(png_of(deep, 16, 4))
        return grey[..., None], alpha
    assert kind == "colours of 16 bits"
    deep = colour.astype(int) * 256 + 17
    deep[0] = deep[key]
    deep[1] = deep[key] + [0, 0, 1]  # the same colour in 8 bits, and not transparent
    path.write_bytes(png_of(deep, 16, 2, deep[key].astype(">u2").tobytes()))
    return deep // 256, np.where((deep == deep[key]).all(axis=-1), 0, 255)


def png_of(pixels, bits, colour_type, transparency=None):
    """The bytes of a PNG of 2, 4 or 16 bits, which Pillow cannot write, with a tRNS chunk."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = pixels.reshape(len(pixels), -1)
    digits = ["".join(f"{value:0{bits}b}" for value in row) for row in rows.tolist()]
    padded = [row + "0" * (-len(row) % 8) for row in digits]
    packed = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in padded)
    header = struct.pack(">IIBBBBB", pixels.shape[1], len(pixels), bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(packed)), (b"IEND", b"")]
    if transparency is not None:
        parts.insert(1, (b"tRNS", transparency))
    return files.PNG + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), RED], ids=str)
@pytest.mark.parametrize(
    "kind",
    [
        *("RGBA", "LA", "palette", "palette of one", "bits", "L", "RGB", "grey of 16 bits"),
        *("grey of 2 bits", "grey of 4 bits", "colours of 16 bits"),
        "grey and alpha of 16 bits",
    ],
)
def test_transparency_is_composited(kind, background, tmp_path):
    colour, alpha = transparent(kind, tmp_path / "a.png")
    assert alpha.min() == 0 and alpha.max() == 255
    assert files.file_shape(tmp_path / "a.png") == (8, 9, colour.shape[-1])
    expected = blended(colour, alpha, background)
    actual = files.read_file(tmp_path / "a.png", 3, background)
    np.testing.assert_allclose(actual, expected, atol=1.0)
    np.testing.assert_array_equal(
        actual[alpha == 255], np.broadcast_to(colour, actual.shape)[alpha == 255]
    )
    np.testing.assert_array_equal(
        actual[alpha == 0], np.broadcast_to(background, actual.shape)[alpha == 0]
    )
    grey = files.read_file(tmp_path / "a.png", 1, background)
    weights = (0.299, 0.587, 0.114)  # ITU-R BT.601
    np.testing.assert_allclose(grey[..., 0], (expected * weights).sum(axis=-1), atol=1.6)


def test_tensors_are_composited_as_files_are(tmp_path):
    colour, alpha = transparent("RGBA", tmp_path / "a.png")
    tensor = tf.constant(np.dstack([colour, alpha])[None])
    from_tensor = convert.composite(tensor, RED)
    assert from_tensor.dtype == tf.uint8
    from_file = files.read_file(tmp_path / "a.png", 3, RED)
    np.testing.assert_allclose(from_tensor[0], from_file.astype(int), atol=1)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("black", (0, 0, 0)), ("White", (255, 255, 255)), ("#C81e00", RED)],
)
def test_colours(text, colour):
    assert colours.colour(text) == colour


@pytest.mark.parametrize(
    "text", ["", "blurple", "#fff", "#ffffff80", "rgb(300,0,0)", "0", "white ", "a" * 200]
)
def test_what_is_no_colour(text):
    with pytest.raises(ValueError, match="expected a colour name, such as white, or #rrggbb"):
        colours.colour(text)


def corrupt_exif(path):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    broken = exif.tobytes()[:-8]
    save(path, np.zeros((8, 9), np.uint8), exif=broken)
    return path


def test_pillow_warns_of_nothing_in_any_thread(tmp_path, recwarn):
    exif = corrupt_exif(tmp_path / "exif.jpg")
    transparent("palette", tmp_path / "palette.png")
    paths = [exif, tmp_path / "palette.png"] * 100
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(files.file_shape, paths))
            list(threads.map(lambda path: files.read_file(path, 1), paths))
        assert warnings.filters == before
    assert [str(warning.message) for warning in recwarn] == []
    with pytest.warns(UserWarning, match="Truncated"), Image.open(exif) as image:
        image.getexif()
