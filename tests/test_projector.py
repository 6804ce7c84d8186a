"""`encode --projector` writes what TensorBoard's own plugin reads."""

import io

import numpy as np
import pytest
from helpers.models import small_vae
from helpers.parts import CODES
from PIL import Image
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

import tfp_vae
from tfp_vae.__main__ import main
from tfp_vae.cli import projector
from tfp_vae.errors import InputError

DIGITS = load_digits()
IMAGES = (DIGITS.images / 16).astype(np.float32)[..., np.newaxis]


def served(logdir):
    """A function of a route, such as "tensor", to what TensorBoard's plugin answers."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logdir))
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    apps = ProjectorPlugin(
        TBContext(logdir=str(logdir), data_provider=provider, multiplexer=multiplexer)
    ).get_plugin_apps()

    def get(route, **query):
        response = Client(apps[f"/{route}"]).get(f"/{route}", query_string=query)
        assert response.status_code == 200, response.data
        return response

    return get


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with digits, labelled or not, and two models of them."""
    place = tmp_path_factory.mktemp("place")
    np.savez(place / "digits.npz", test=IMAGES, test_labels=DIGITS.target)
    np.save(place / "bare.npy", IMAGES[:5])
    tfp_vae.export(small_vae((8, 8, 1)), place / "vae")
    tfp_vae.export(small_vae((8, 8, 1), latent_size=16, images=IMAGES, **CODES[0]), place / "codes")
    return place


@pytest.mark.parametrize("run", ["vae", "codes"])
def test_the_plugin_reads_digits(run, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    logs = tmp_path / "logs"
    assert main(["encode", run, "digits.npz", f"{tmp_path}/e.npz", "--projector", str(logs)]) == 0
    assert f"tensorboard --logdir {logs}\n" in capsys.readouterr().out
    get = served(logs)
    assert get("runs").json == ["."]
    (embedding,) = get("info", run=".").json["embeddings"]
    name, shape = embedding["tensorName"], embedding["tensorShape"]
    found = np.frombuffer(get("tensor", run=".", name=name).data, np.float32).reshape(shape)
    model = tfp_vae.load(run)
    encoded = model.encode(IMAGES)
    points = encoded if run == "vae" else model.embed(encoded).reshape(len(IMAGES), -1)
    np.testing.assert_array_equal(found, points)
    header, *rows = get("metadata", run=".", name=name).text.splitlines()
    assert header.split("\t") == ["name", "label"]
    expected = [f"digits.npz:test:{i}\t{digit}" for i, digit in enumerate(DIGITS.target)]
    assert rows == expected
    sprite = np.asarray(Image.open(io.BytesIO(get("sprite_image", run=".", name=name).data)))
    assert embedding["sprite"]["singleImageDim"] == [8, 8] and sprite.shape == (43 * 8, 43 * 8)
    cells = sprite.reshape(43, 8, 43, 8).swapaxes(1, 2).reshape(-1, 8, 8)
    np.testing.assert_array_equal(cells[:1797], np.rint(255 * IMAGES[..., 0]))
    assert not cells[1797:].any()


def test_an_image_that_is_read_is_not_replaced(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    photo = tmp_path / "sprite.png"
    Image.new("L", (8, 8), 9).save(photo)
    before = photo.read_bytes()
    argv = ["encode", "vae", str(tmp_path), str(place / "e.csv"), "--projector", str(tmp_path)]
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(f"{photo}: the command reads it: expected another")
    assert photo.read_bytes() == before and not (place / "e.csv").exists()


def test_names_alone_have_no_header(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    assert main(f"encode vae bare.npy {tmp_path}/e.csv --projector {tmp_path}".split()) == 0
    name = served(tmp_path)("info", run=".").json["embeddings"][0]["tensorName"]
    rows = served(tmp_path)("metadata", run=".", name=name).text.splitlines()
    assert rows == [f"bare.npy:{row}" for row in range(5)]


@pytest.mark.parametrize(
    ("count", "height", "width", "expected"),
    [
        (1, 8, 8, (8, 8)),
        (10_000, 64, 64, (64, 64)),
        (60_000, 64, 32, (33, 16)),  # 245 columns of at most 33 pixels
        (3, 5000, 4, (4096, 3)),
        (8192**2, 28, 28, (1, 1)),
    ],
)
def test_the_sprite_fits_what_tensorboard_accepts(count, height, width, expected):
    assert projector.thumbnail_size(count, height, width) == expected
    columns = int(np.ceil(np.sqrt(count)))
    assert columns * max(expected) <= projector.MAX_SPRITE_SIDE


def test_more_points_than_pixels_are_refused():
    with pytest.raises(InputError, match="67,108,865 images: expected at most 67,108,864"):
        projector.thumbnail_size(8192**2 + 1, 8, 8)


def test_many_large_colour_images_become_thumbnails(tmp_path, monkeypatch):
    monkeypatch.setattr(projector, "MAX_SPRITE_SIDE", 12)
    colours = np.random.default_rng(0).integers(0, 256, (9, 3), np.uint8)
    pixels = np.broadcast_to(colours[:, np.newaxis, np.newaxis], (9, 10, 5, 3))
    projector.write(tmp_path / "logs", np.zeros((9, 2)), {"name": ["\t\n"] * 9}, pixels)
    sprite = np.asarray(Image.open(tmp_path / "logs" / "sprite.png"))
    np.testing.assert_array_equal(sprite[::4, ::2].reshape(9, 3), colours)
    assert len((tmp_path / "logs" / "metadata.tsv").read_text().splitlines()) == 9
