"""The images of a command: files, folders and arrays give the same pixels, or one clear line."""

import numpy as np
import pytest
from PIL import Image

from tfp_vae.errors import ImageError
from tfp_vae.images import array_sources
from tfp_vae.images import sources as image_sources

SHAPE = (8, 9, 1)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)


@pytest.fixture(autouse=True)
def files(pixels, tmp_path, monkeypatch):
    """The same five images in every form, in the current folder."""
    monkeypatch.chdir(tmp_path)
    array_sources._array.cache_clear()  # files of one name differ from test to test
    (tmp_path / "photos" / "b").mkdir(parents=True)
    names = ["photos/0.png", "photos/1.png", "photos/b/2.png", "photos/b/3.png", "photos/b/4.png"]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image[..., 0]).save(name)
    np.save("all.npy", pixels[..., 0])
    np.savez("one.npz", images=pixels)
    np.savez("two.npz", train=pixels[:3], test=pixels[3:], labels=np.arange(5))
    return names


@pytest.mark.parametrize(
    ("sources", "rows"),
    [
        (["photos"], slice(None)),
        (["photos/b", "photos/0.png"], [2, 3, 4, 0]),
        (["all.npy"], slice(None)),
        (["all.npy:2"], [2]),
        (["one.npz"], slice(None)),
        (["one.npz:3"], [3]),
        (["one.npz:images:3"], [3]),
        (["two.npz:test"], [3, 4]),
        (["two.npz:test", "two.npz:train:1", "all.npy:0"], [3, 4, 1, 0]),
    ],
)
def test_every_form_gives_the_pixels_and_names_that_read_them_again(sources, rows, pixels):
    collection = image_sources.read(sources, SHAPE)
    np.testing.assert_array_equal(collection.pixels[:], pixels[rows])
    assert collection.pixels.shape == pixels[rows].shape
    assert len(collection.names) == len(pixels[rows])
    for name, image in zip(collection.names, pixels[rows], strict=True):
        np.testing.assert_array_equal(image_sources.read_one(name, SHAPE), image[np.newaxis])


def test_bytes_and_floats_together_are_floats(pixels):
    np.save("float.npy", pixels[:2] / 255.0)
    collection = image_sources.read(["float.npy", "two.npz:test"], SHAPE)
    np.testing.assert_allclose(collection.pixels, pixels[[0, 1, 3, 4]] / 255.0, atol=1e-7)


def test_floats_stay_floats(pixels):
    np.save("float.npy", pixels / 255.0)
    collection = image_sources.read(["float.npy"], SHAPE)
    np.testing.assert_allclose(collection.pixels, pixels / 255.0, atol=1e-7)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["none.png"], "none.png: no such file or folder"),
        (["none.npy"], "none.npy: not a .npy or .npz"),
        (["two.npz"], "two.npz: expected one of two.npz:train, two.npz:test, two.npz:labels"),
        (["two.npz:x"], "two.npz:x: expected one of two.npz:train"),
        (["two.npz:labels"], r"two.npz:labels: shape \(5,\)"),
        (["all.npy:x"], r"all.npy:x: a .npy has one array: expected all.npy\[:ROW\]"),
        (["all.npy:5"], "all.npy:5: expected a row from 0 to 4"),
        (["all.npy", "photos"], "all.npy, photos: expected image files or arrays, not both"),
        (["wide.png"], "wide.png: 16x18x1 pixels: expected 8x9x1, or --resize to convert"),
        (["wide.npy"], "wide.npy: 16x18x1 pixels: expected 8x9x1, or --resize to convert"),
        (["colour.png"], "colour.png: 8x9x3 pixels: expected 8x9x1, or --resize to convert"),
        (["colour.npy"], "colour.npy: 8x9x3 pixels: expected 8x9x1, or --resize to convert"),
        (["text.png"], "text.png: not a PNG or JPEG image"),
        (["empty"], "empty: no .png"),
    ],
)
def test_what_cannot_be_read_is_named(sources, message, tmp_path):
    wide, colour = np.zeros((16, 18), np.uint8), np.zeros((8, 9, 3), np.uint8)
    for name, image in (("wide", wide), ("colour", colour)):
        Image.fromarray(image).save(f"{name}.png")
        np.save(f"{name}.npy", image[np.newaxis])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=message):
        image_sources.read(sources, SHAPE)


def test_one_image_is_one():
    with pytest.raises(ImageError, match=r"two\.npz:train: 3 images: expected one, such as two"):
        image_sources.read_one("two.npz:train", SHAPE)


def test_resizing_keeps_the_middle_in_the_model_s_proportions():
    wide = np.zeros((16, 40), np.uint8)
    wide[:, 11:29] = 255  # 16 x 18, the proportions of 8 x 9, are white
    Image.fromarray(wide).save("wide.png")
    np.save("wide.npy", wide[np.newaxis])
    for source in ("wide.png", "wide.npy"):
        image = image_sources.read_one(source, SHAPE, resize=True)
        np.testing.assert_array_equal(image, np.full((1, *SHAPE), 255, np.uint8))


def test_channels():
    red = np.zeros((2, 8, 9, 3), np.uint8)
    red[..., 0] = 200
    Image.fromarray(red[0]).save("red.png")
    np.save("red.npy", red)
    for source in ("red.png", "red.npy:0"):
        grey = image_sources.read_one(source, SHAPE, resize=True)
        assert grey.shape == (1, *SHAPE)
        np.testing.assert_allclose(grey, 0.299 * 200, atol=1)  # ITU-R BT.601's weight of red
    for source in ("photos/0.png", "all.npy:0"):  # grey becomes colour unasked, as in training
        colour = image_sources.read_one(source, (8, 9, 3))
        grey = image_sources.read_one(source, SHAPE)
        np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))
