"""Images that the explorer reads: dropped on its page, or of a run's own data set."""

import base64
import io

import numpy as np
import pytest
from helpers import data_sets
from helpers.explorer import sources
from PIL import Image

from tfp_vae.errors import InputError

pytest.importorskip("bokeh", reason="needs Bokeh, of the extra explore")
from helpers.explorer_page import bytes_of, page_of, pixels_of, shown

from tfp_vae.explorer import default_images, upload_panel
from tfp_vae.explorer.collection import EncodedCollection, different
from tfp_vae.images.colours import BLACK


@pytest.fixture(scope="module")
def found(model, grey_images):
    return EncodedCollection(model, sources(grey_images))


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def test_a_dropped_image_has_a_reconstruction_neighbours_and_an_elbo(model, found, grey_images):
    page = page_of(model, found)
    pixels = bytes_of(grey_images[9:10])
    large = np.zeros([40, 60, 4], np.uint8)  # transparent, of another size
    page._upload.source.data = {"name": ["large.png"], "content": [encoded(large)]}
    assert not page.state.chosen[-1].image.any() and page._message.data["text"] == [""]
    page._upload.source.data = {"name": ["<b>.png"], "content": [encoded(pixels[0])]}
    text = page._upload.root.text
    terms = model.elbo(pixels[..., np.newaxis])
    assert f"ELBO {terms.elbo[0]:.1f} nats" in text and text.count("<img") == 2 + 8
    assert "<b>" not in text and "&lt;b&gt;.png" in text
    assert found.nearest(page.state.latent, 8)[0][0] == 9
    np.testing.assert_array_equal(bytes_of(page.state.chosen[-1].image), pixels[0])
    shown(page)
    np.testing.assert_array_equal(pixels_of(page._view.data["original"][0]), pixels[0])


BAD = {
    "nothing": "",
    "no base64": "####",
    "another format": base64.b64encode(b"GIF89a" + bytes(100)).decode(),
    "cut short": encoded(np.zeros([90, 90], np.uint8))[:80],
    "too large": "A" * (4 * upload_panel.MAX_FILE_BYTES // 3 + 8),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_said_on_the_page(name, model, found):
    page = page_of(model, found)
    before = shown(page)
    page._upload.source.data = {"name": ["../x/bad.png"], "content": [BAD[name]]}
    (text,) = page._message.data["text"]
    assert text.startswith("bad.png: ") and "/" not in text
    np.testing.assert_array_equal(shown(page), before)


def test_an_image_of_too_many_pixels_is_not_decoded():
    header = io.BytesIO()
    Image.new("1", (6000, 6000)).save(header, "PNG")
    content = base64.b64encode(header.getvalue()).decode()
    with pytest.raises(InputError, match=r"^a: 6000 x 6000 pixels: expected at most 25 million"):
        upload_panel.read("a", content, (8, 9, 1), BLACK)


def test_fifty_bad_files_leave_the_page_working(model, found, grey_images):
    page, random = page_of(model, found), np.random.default_rng(0)
    good = base64.b64decode(encoded(bytes_of(grey_images[:1])[0]))
    for _ in range(50):
        damaged = bytearray(good)
        for place in random.integers(0, len(good), 6):
            damaged[place] = random.integers(256)
        content = base64.b64encode(damaged[: random.integers(1, len(good))]).decode()
        page._upload.source.data = {"name": [f"{len(content)}.png"], "content": [content]}
    page._upload.source.data = {"name": ["good.png"], "content": [base64.b64encode(good).decode()]}
    assert page.state.chosen[-1].name == "good.png" and page._message.data["text"] == [""]


def test_an_image_of_the_collection_can_be_chosen_again_after_a_file(model, found, grey_images):
    page = page_of(model, found)
    number = page._picture._row
    number.value = 7
    (content,) = bytes_of(grey_images[:1])
    page._upload.source.data = {"name": ["own.png"], "content": [encoded(content)]}
    page.draw()
    assert page.state.chosen[-1].name == "own.png" and number.value is None
    number.value = 7
    assert page.state.chosen[-1].row == 7


def test_the_images_of_a_run_s_own_data_set(tmp_path, pixels):
    found = default_images.read({"dataset": "digits"}, (8, 8, 1), BLACK)
    assert len(found.names) == 1797 and found.labels[:3] == ["0", "1", "2"]
    assert default_images.read({"dataset": "digits"}, (16, 16, 3), BLACK).pixels.shape[1:] == (
        16,
        16,
        3,
    )
    path = tmp_path / "a.NPZ"
    with open(path, "wb") as file:  # to a name NumPy would append .npz
        np.savez(file, train=pixels, test=pixels[:2], test_labels=np.array(["b", "a"]))
    found = default_images.read({"dataset": str(path)}, (8, 9, 1), BLACK)
    assert found.labels == ["b", "a"]
    data_sets.store(tmp_path / "data", "mine", pixels, [1, 0, 2, 2, 0])
    settings = {"dataset": "mine", "data_dir": str(tmp_path / "data")}
    assert default_images.read(settings, (8, 9, 1), BLACK).labels is not None
    for settings in ({}, {"dataset": "no_such_set"}, {"dataset": str(tmp_path / "no.npz")}):
        with pytest.raises(InputError):
            default_images.read(settings, (8, 8, 1), BLACK)


def test_at_most_so_many_images_evenly_spaced(grey_images):
    few = sources(grey_images, [str(row) for row in range(130)]).evenly(4)
    assert few.labels == ["0", "43", "86", "129"] and few.pixels.shape == (4, 8, 9, 1)
    assert sources(grey_images).evenly(130).names == sources(grey_images).names


def test_labels_that_are_numbers_are_in_their_order():
    assert different(["10", "9", "9"]) == ["9", "10"]
    assert different(["b", "a", "10"]) == ["10", "a", "b"]


@pytest.mark.parametrize("settings", [{}, {"skip_damaged": True}])
def test_damaged_files_of_a_run_are_left_out_as_they_were(settings, grey_images, tmp_path):
    for index, image in enumerate(np.rint(255 * grey_images[:3]).astype(np.uint8)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    settings = {"dataset": str(tmp_path), **settings}
    found = default_images.read(settings, (8, 9, 1), BLACK, skip_damaged=len(settings) == 1)
    assert len(found.names) == 2 and "1.png" in found.left_out
    with pytest.raises(InputError, match=r"1\.png"):
        default_images.read({"dataset": str(tmp_path)}, (8, 9, 1), BLACK)
