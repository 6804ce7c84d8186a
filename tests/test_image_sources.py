"""The images of a command: files, folders and arrays give the same pixels, or one clear line."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import data_sets
from PIL import Image

from tfp_vae.errors import ImageError
from tfp_vae.images import array_sources, folders
from tfp_vae.images import sources as image_sources

SHAPE = (8, 9, 1)
LABELS = [1, 0, 2, 2, 0]
TEXTS = [data_sets.NAMES[label] for label in LABELS]


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


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Where TFDS finds `tiny`, the five images with labels, and `clear`, which has an alpha."""
    folder = tmp_path_factory.mktemp("tfds")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, *SHAPE)).astype(np.uint8)
    data_sets.store(folder, "tiny", pixels, LABELS)
    data_sets.store(
        folder, "clear", rng.integers(0, 256, (3, 8, 9, 4)).astype(np.uint8), LABELS[:3]
    )
    tfds.core.add_data_dir(str(folder))
    return folder


@pytest.fixture
def labelled(pixels, tmp_path):
    """The five images with their labels, in every form that has labels."""
    for index, (image, text) in enumerate(zip(pixels, TEXTS, strict=True)):
        folder = tmp_path / "classes" / text / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    names = np.array(data_sets.NAMES)
    np.savez("named.npz", test=pixels, test_labels=np.int32(LABELS), label_names=names)
    np.savez("texts.npz", test=pixels, test_labels=np.array(TEXTS), train=pixels[:2])
    np.savez("numbers.npz", test=pixels, test_labels=np.uint8(LABELS))


def by_image(collection):
    keys = [image.tobytes() for image in collection.pixels[:]]
    return dict(zip(keys, collection.labels, strict=True))


def test_labels_are_the_same_through_all_sources(labelled, pixels, data_dir):
    expected = {image.tobytes(): text for image, text in zip(pixels, TEXTS, strict=True)}
    for source in ("classes", "named.npz:test", "named.npz", "texts.npz:test", "tfds:tiny:test"):
        found = image_sources.read([source], SHAPE)
        assert by_image(found) == expected, source
        for name, image, label in zip(*found[1::-1], found.labels, strict=True):
            alone = image_sources.read([name], SHAPE)
            np.testing.assert_array_equal(alone.pixels[:], image[np.newaxis])
            assert alone.labels in ([label], None)  # a file by itself has none
            assert (alone.labels is None) == (source == "classes")
    assert image_sources.read(["numbers.npz"], SHAPE).labels == list(map(str, LABELS))


def test_images_without_labels(labelled, data_dir):
    for sources in (["photos"], ["photos/b"], ["texts.npz:train"], ["all.npy"], ["one.npz"]):
        assert image_sources.read(sources, SHAPE).labels is None
    for sources in (["classes", "photos"], ["named.npz", "all.npy"]):
        assert image_sources.read(sources, SHAPE).labels is None
        with pytest.raises(ImageError, match=f"{sources[1]}: no labels: expected a folder whose"):
            image_sources.read(sources, SHAPE, need_labels=True)
    both = image_sources.read(["named.npz", "tfds:tiny:test:0"], SHAPE, need_labels=True)
    assert both.labels[:5] == TEXTS and len(both.labels) == 6


def test_the_images_with_a_label(labelled, pixels):
    for source in ("classes", "named.npz"):
        found = image_sources.read([source], SHAPE)
        np.testing.assert_array_equal(found.with_label("newt")[:], pixels[[2, 3]])
        with pytest.raises(ImageError, match=r"no label bird: expected one of cat, dog, newt$"):
            found.with_label("bird")
    many = found._replace(labels=[f"{i:02}" for i in range(30)])
    with pytest.raises(ImageError, match=r"expected one of 00, 01, .*, 09, \.\.\.$"):
        many.with_label("bird")


def test_files_that_stay_on_disk_are_the_same(labelled, monkeypatch):
    in_memory = image_sources.read(["classes"], SHAPE)
    monkeypatch.setattr(image_sources, "IN_MEMORY_BYTES", 0)
    on_disk = image_sources.read(["classes"], SHAPE)
    assert isinstance(in_memory.pixels, np.ndarray) and not isinstance(on_disk.pixels, np.ndarray)
    np.testing.assert_array_equal(on_disk.pixels[1:4], in_memory.pixels[1:4])
    np.testing.assert_array_equal(on_disk.with_label("cat")[:], in_memory.with_label("cat"))


def test_tfds_images_become_those_of_the_model(data_dir, pixels):
    colour = image_sources.read(["tfds:tiny:test:0"], (8, 9, 3)).pixels
    assert colour.shape == (1, 8, 9, 3)
    assert image_sources.read(["tfds:tiny:test"], (6, 6, 1), resize=True).pixels.shape == (
        5,
        6,
        6,
        1,
    )
    red = image_sources.read(["tfds:clear:test"], (8, 9, 3), background=(200, 30, 0)).pixels
    black = image_sources.read(["tfds:clear:test"], (8, 9, 3)).pixels
    share = (red.astype(int) - black)[..., 0] / 200  # 1 - alpha
    np.testing.assert_allclose(red.astype(int) - black, share[..., None] * (200, 30, 0), atol=1.5)
    assert red.shape == (3, 8, 9, 3) and share.max() > 0.9 and share.min() < 0.1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tfds:", "tfds:: expected tfds:NAME:SPLIT or"),
        ("tfds:tiny", "tfds:tiny: expected tfds:NAME:SPLIT or"),
        ("tfds:someone:tiny:test", "tfds:someone:tiny:test: expected tfds:NAME:SPLIT or"),
        ("tfds:tiny:test[:3]", r"tfds:tiny:test\[:3\]: expected tfds:NAME:SPLIT or"),
        ("tfds:tiny:none", "tfds:tiny:none: expected a split: .*test, train|train, test"),
        ("tfds:no_such_set:test", "tfds:no_such_set:test: .*no TFDS data set"),
        ("tfds:tiny:test:5", "tfds:tiny:test:5: expected a row from 0 to 4"),
        ("tfds:clear:test", "tfds:clear:test: 8x9x3 pixels: expected 8x9x1, or --resize"),
        (
            "short.npz:test",
            r"short.npz:test_labels: int64 \[4\]: expected integers or strings \[5\]",
        ),
        ("floats.npz", r"floats.npz:test_labels: float64 \[5\]: expected integers or strings"),
        ("rows.npz", r"rows.npz:test_labels: int64 \[5, 1\]: expected integers or strings \[5\]"),
        (
            "outside.npz",
            "outside.npz:test_labels: 0 to 2: expected 0 to 1, the rows of label_names",
        ),
        ("negative.npz", "negative.npz:test_labels: -1 to 1: expected 0 to 2"),
        ("names.npz", r"names.npz:label_names: int64 \[3\]: expected strings \[K\]"),
        ("only.npz", "only.npz: expected one of its arrays, but it has labels only"),
    ],
)
def test_labels_and_splits_that_cannot_be_read(source, message, data_dir, pixels):
    names, good = np.array(data_sets.NAMES), np.array(LABELS)
    np.savez("short.npz", test=pixels, test_labels=good[:4])
    np.savez("floats.npz", test=pixels, test_labels=good * 1.0)
    np.savez("rows.npz", test=pixels, test_labels=good[:, None])
    np.savez("outside.npz", test=pixels, test_labels=good, label_names=names[:2])
    np.savez("negative.npz", test=pixels, test_labels=good - 1, label_names=names)
    np.savez("names.npz", test=pixels, test_labels=good, label_names=good[:3])
    np.savez("only.npz", test_labels=good, label_names=names)
    with pytest.raises(ImageError, match=message):
        image_sources.read([source], SHAPE)


def damage(*names):
    """Damages files: of every second one the header, of the others the body."""
    for number, name in enumerate(names):
        with open(name, "r+b") as file:
            file.truncate(20 if number % 2 else 60)


def test_damaged_files_are_named_at_once_or_left_out(labelled, pixels):
    damage("classes/cat/deep/1.png", "classes/newt/deep/3.png")
    with pytest.raises(ImageError) as error:
        image_sources.read(["classes", "photos"], SHAPE)
    assert str(error.value) == (
        "2 of 10 files are damaged: classes/cat/deep/1.png, classes/newt/deep/3.png: "
        "--skip-damaged leaves them out"
    )
    found = image_sources.read(["classes"], SHAPE, skip_damaged=True)
    np.testing.assert_array_equal(found.pixels, pixels[[4, 0, 2]])
    assert found.labels == ["cat", "dog", "newt"]
    assert found.left_out == (
        "left out 2 files, damaged: classes/cat/deep/1.png, classes/newt/deep/3.png"
    )
    damage("classes/cat/deep/4.png", "classes/dog/deep/0.png", "classes/newt/deep/2.png")
    for skip in (False, True):
        with pytest.raises(ImageError, match=r"^all 5 files are damaged: classes/cat/deep/1\.png"):
            image_sources.read(["classes"], SHAPE, skip_damaged=skip)


def test_one_damaged_file_says_why_and_a_file_may_be_given_twice(pixels):
    twice = image_sources.read(["photos", "photos/0.png"], SHAPE)
    np.testing.assert_array_equal(twice.pixels, pixels[[0, 1, 2, 3, 4, 0]])
    damage("photos/1.png")
    with pytest.raises(
        ImageError, match=r"^1 of 5 files: photos/1\.png: damaged \(.*: --skip-damaged"
    ):
        image_sources.read(["photos", "photos/0.png"], SHAPE)


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
