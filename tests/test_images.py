"""Image files, arrays and grids."""

import numpy as np
import pytest
import tensorflow as tf
from helpers.pictures import random_bytes, save
from PIL import Image, ImageOps

from tfp_vae.errors import ImageError
from tfp_vae.images import convert, files, grids


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_comes_back_exactly(channels, tmp_path):
    pixels = random_bytes(9, 8, channels)
    grids.write_png(tmp_path / "a.png", pixels)
    assert files.file_shape(tmp_path / "a.png") == (9, 8, channels)
    np.testing.assert_array_equal(files.read_file(tmp_path / "a.png", channels), pixels)


def test_a_picture_has_at_most_four_channels(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: 5 channels: expected at most 4 in a picture$"):
        grids.write_png(tmp_path / "a.png", random_bytes(9, 8, 5))
    assert not list(tmp_path.iterdir())


def test_kinds_of_files(tmp_path):
    rgba = save(tmp_path / "rgba.png", random_bytes(8, 9, 4))
    assert files.file_shape(rgba) == (8, 9, 3)
    assert files.read_file(rgba, 3).shape == (8, 9, 3)
    grey = random_bytes(8, 9)
    as_colour = files.read_file(save(tmp_path / "grey.png", grey), 3)
    np.testing.assert_array_equal(as_colour, np.repeat(grey[..., None], 3, axis=-1))
    deep = save(tmp_path / "deep.png", grey.astype(np.uint16) * 256 + 17)
    assert files.file_shape(deep) == (8, 9, 1)
    np.testing.assert_array_equal(files.read_file(deep, 1)[..., 0], grey)
    palette = tmp_path / "palette.png"
    Image.fromarray(random_bytes(8, 9, 3)).convert("P").save(palette)
    assert files.read_file(palette, 3).shape == (8, 9, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_of_all_kinds_are_turned_upright(orientation, tmp_path):
    exif = Image.Exif()
    exif[files.ORIENTATION_TAG] = orientation
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, :8], pixels[:4, 8:] = 255, 128  # each turn moves the black quarter elsewhere
    jpeg = save(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    png = save(tmp_path / "a.png", pixels, exif=exif)
    with Image.open(png) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    for path, tolerance in ((png, 0), (jpeg, 9)):
        assert files.file_shape(path) == (*expected.shape, 1)
        upright = files.read_file(path, 1)[..., 0]
        np.testing.assert_allclose(upright, expected, atol=tolerance)


def test_files_are_found_below_a_folder_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/1.PNG", "a.jpeg", "b/0.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = [str(path.relative_to(tmp_path)) for path in files.find_files(tmp_path)]
    assert found == ["a.jpeg", "b/0.jpg", "b/1.PNG"]
    with pytest.raises(ImageError, match=r"no \.png"):
        files.find_files(tmp_path / "b" / "none")


def test_links_are_followed_once_and_hidden_names_are_not_images(tmp_path):
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    names = ("photos/b/0.png", "photos/b/._0.png", "photos/.ipynb_checkpoints/0.png")
    for name in (*names, "photos/__MACOSX/0.png", "photos/.store/1.png", "elsewhere/c/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    targets = {"a": photos / "b", "loop": photos, "stored": photos / ".store", "z": elsewhere}
    for name, target in targets.items():
        (photos / name).symlink_to(target)
    (elsewhere / "back").symlink_to(photos)
    found = [str(path.relative_to(photos)) for path in files.find_files(photos)]
    assert found == ["b/0.png", "stored/1.png", "z/c/2.png"]


def test_a_damaged_file_is_named(tmp_path):
    good = save(tmp_path / "a.png", random_bytes(64, 64))
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:1500])
    with pytest.raises(ImageError, match=r"bad\.png: damaged"):
        files.read_file(bad, 1)
    bad.write_bytes(b"junk")
    with pytest.raises(ImageError, match=r"bad\.png: not a PNG or JPEG"):
        files.file_shape(bad)


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path):
    Image.new("1", (10_000, 6_000)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="more than 50 million"):
        files.file_shape(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8), np.uint8), "shape"),
        (np.zeros((2, 8, 8, 2), np.uint8), "shape"),
        (np.zeros((0, 8, 8, 1), np.uint8), "shape"),
        (np.zeros((2, 8, 8), np.int64), "int64 pixels"),
        (np.zeros((2, 8, 8), bool), "bool pixels"),
        (np.eye(8, dtype=np.uint8)[None], "uint8 of 0 and 1 only"),
        (np.full((2, 8, 8), 1.5), "float pixels from 1.5 to 1.5"),
        (np.full((2, 8, 8), -0.1), "float pixels from -0.1"),
        (np.full((2, 8, 8), np.nan), "no NaN"),
        (np.full((2, 8, 8), np.inf), "float pixels from inf"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_are_no_images_are_refused(array, message):
    with pytest.raises(ImageError, match=f"x: .*{message}"):
        convert.checked(array, "x")


def test_arrays_that_are_images():
    assert convert.checked(random_bytes(2, 8, 9), "x").shape == (2, 8, 9, 1)
    floats = convert.checked(np.linspace(0, 1, 2 * 8 * 9 * 3).reshape(2, 8, 9, 3), "x")
    assert floats.dtype == np.float32
    assert convert.checked(np.zeros((1, 8, 8), np.uint8), "black").shape == (1, 8, 8, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resize_keeps_the_middle_square_and_the_type(dtype):
    top = 255 if dtype == np.uint8 else 1.0
    image = np.zeros((12, 32, 1), dtype)
    image[:, 10:22] = top  # the middle square is white
    resized = convert.resize(tf.constant(image), 8)
    assert resized.dtype == dtype
    np.testing.assert_array_equal(resized, np.full((8, 8, 1), top, dtype))
    many = convert.resize(tf.constant(np.stack([image, image])), 24)
    assert many.shape == (2, 24, 24, 1)


def test_a_grid_holds_every_image_in_rows():
    pixels = random_bytes(5, 60, 50, 3)
    canvas = grids.grid(pixels / 255.0, columns=3)
    assert canvas.shape == (2 * 61 + 1, 3 * 51 + 1, 3)
    np.testing.assert_array_equal(canvas[1:61, 1:51], pixels[0])
    np.testing.assert_array_equal(canvas[62:122, 52:102], pixels[4])


def test_small_images_are_enlarged_in_a_grid():
    canvas = grids.grid(np.ones((1, 8, 8, 1)), columns=1)
    assert canvas.shape == (50, 50, 1)


def test_pairs_have_reconstructions_below_their_originals():
    originals, reconstructions = random_bytes(2, 3, 60, 50, 1) / 255.0
    canvas = grids.pairs(originals, reconstructions, columns=2)
    assert canvas.shape == (4 * 61 + 1, 2 * 51 + 1, 1)
    np.testing.assert_array_equal(canvas[1:61, 52:102], np.rint(originals[1] * 255))
    np.testing.assert_array_equal(canvas[62:122, 52:102], np.rint(reconstructions[1] * 255))
    np.testing.assert_array_equal(canvas[184:244, 1:51], np.rint(reconstructions[2] * 255))
