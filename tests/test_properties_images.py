"""Whatever the bytes of an image file are: either pixels, or one line that names the file."""

import io
import math
import struct
import zlib

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from helpers.fuzz import damaged, outcome
from hypothesis import strategies as st
from PIL import Image

from tfp_vae.errors import ImageError
from tfp_vae.images import encoded as encoded_images
from tfp_vae.images import files


def encoded(kind, mode, **options):
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (11, 9, 3)).astype(np.uint8))
    file = io.BytesIO()
    pixels.convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[files.ORIENTATION_TAG] = 6
    exif[0x010F] = "a camera"
    return exif


PNGS = [encoded("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
PNGS += [encoded("PNG", "P", transparency=b"\0\x80\xff"), encoded("PNG", "L", transparency=3)]
PNGS += [encoded("PNG", "RGB", dpi=(72, 72)), encoded("PNG", "L", exif=turned())]
JPEGS = [encoded("JPEG", mode) for mode in ("L", "RGB", "CMYK")]
JPEGS += [encoded("JPEG", "RGB", exif=turned()), encoded("JPEG", "L", progressive=True)]


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, extra=b"", scanlines=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(scanlines))
    return b"\x89PNG\r\n\x1a\n" + header + extra + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("samples", [PNGS, JPEGS], ids=["png", "jpeg"])
@hypothesis.given(data=st.data())
def test_a_damaged_file_is_an_image_or_one_line(samples, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data.draw(damaged(samples)))
    shape = outcome(files.file_shape, path, refusal=ImageError)
    for channels in (1, 3):
        pixels = outcome(files.read_file, path, channels, refusal=ImageError)
        if pixels is not None:
            assert pixels.dtype == np.uint8 and pixels.shape == (*shape[:2], channels)


@pytest.mark.filterwarnings("error")  # PIL warns of bombs in two lines of its own
@pytest.mark.parametrize("side", [8_000, 10_000, 14_000, 20_000, 2**31 - 1])
def test_a_bomb_is_refused_before_it_is_decoded(side, tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(side, side))
    for read in (files.file_shape, lambda path: files.read_file(path, 1)):
        with pytest.raises(ImageError, match="more than 50 million"):
            read(tmp_path / "bomb.png")


def test_a_bomb_of_text_is_refused(tmp_path):
    text = b"a\0\0" + zlib.compress(b"a" * 2**26)
    (tmp_path / "text.png").write_bytes(png(8, 8, extra=chunk(b"zTXt", text)))
    with pytest.raises(ImageError, match=r"text\.png: "):
        files.file_shape(tmp_path / "text.png")


def test_a_photo_of_several_frames_is_turned_upright(tmp_path):
    frames = [Image.fromarray(np.zeros((8, 12), np.uint8)) for _ in range(2)]
    path = tmp_path / "a.jpg"
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:], exif=turned())
    assert files.file_shape(path) == (12, 8, 1)
    assert files.read_file(path, 1).shape == (12, 8, 1)


@hypothesis.given(content=damaged(PNGS + JPEGS) | st.binary(max_size=40))
def test_what_tensorflow_decodes_has_been_measured_first(content):
    limit = 99  # the samples have 11 x 9 pixels
    try:
        measured = encoded_images.require(tf.constant(content), limit)
        decoded = tf.image.decode_image(measured, channels=1, expand_animations=False)
    except tf.errors.OpError:
        hypothesis.event("refused")
        return
    assert math.prod(decoded.shape) <= limit


@pytest.mark.parametrize(
    "content", [png(2**31 - 1, 2**31 - 1), png(2**32 - 1, 2**32 - 1), b"GIF89a"]
)
def test_a_header_that_claims_too_much_is_not_decoded(content):
    with pytest.raises(tf.errors.InvalidArgumentError, match="claim 1 to 50000000 pixels"):
        encoded_images.require(tf.constant(content), files.MAX_FILE_PIXELS)
