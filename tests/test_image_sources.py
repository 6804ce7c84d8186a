"""The images of a command: files, folders and arrays give the same pixels, or one clear line."""

import numpy as np
import pytest
from PIL import Image

from tfp_vae.errors import ImageError
from tfp_vae.images import folders
from tfp_vae.images import sources as image_sources

SHAPE = (8, 9, 1)

pytestmark = pytest.mark.usefixtures("five_files")


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
        (["zipped.npy"], "zipped.npy: an archive of arrays: expected a name that ends in .npz"),
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
    with open("zipped.npy", "wb") as file:
        np.savez(file, a=wide, b=wide)
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


def test_resizing_is_traced_once(tmp_path):
    for side in range(20, 26):
        Image.new("L", (side, 30)).save(f"{side}.png")
        assert image_sources.read([f"{side}.png"], (7, 7, 1), resize=True).pixels.max() == 0
    assert folders._resizer((7, 7, 1)).experimental_get_tracing_count() == 1


def test_large_files_are_decoded_in_two_threads(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 400, 450)).astype(np.uint8)
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"large{index}.png")
    paths = [tmp_path / "photos" / f"large{index}.png" for index in range(9)]
    measured = folders.measure(paths, skip_damaged=False, in_memory=lambda _: True)
    assert measured.threads == 2
    for threads in (1, 2):
        loaded = folders.ImageFiles(paths, (400, 450, 1), threads=threads).load()
        np.testing.assert_array_equal(loaded[..., 0], images)
    small = folders.measure([tmp_path / "photos" / "0.png"], skip_damaged=False, in_memory=any)
    assert small.threads == 1


def test_the_background_of_transparent_files(tmp_path):
    (tmp_path / "clear").mkdir()
    Image.new("RGBA", (9, 8), (0, 0, 0, 0)).save("clear/0.png")
    for background, grey in (((0, 0, 0), 0), ((255, 255, 255), 255), ((200, 0, 0), 60)):
        (image,) = image_sources.read(["clear"], SHAPE, resize=True, background=background).pixels
        np.testing.assert_array_equal(image, np.full(SHAPE, grey))


def test_an_array_that_was_written_again_is_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        for count in (2, 3):
            pixels = rng.random((count, *SHAPE)).astype(np.float32)
            np.save("x.npy", pixels)
            np.testing.assert_array_equal(image_sources.read(["x.npy"], SHAPE).pixels, pixels)
