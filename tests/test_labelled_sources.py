"""Labels and TFDS splits of a command's images, through every source that has them."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import data_sets
from PIL import Image

from tfp_vae.errors import ImageError
from tfp_vae.images import sources as image_sources
from tfp_vae.images.tfds import DataSet

SHAPE = (8, 9, 1)
LABELS = [1, 0, 2, 2, 0]


TEXTS = [data_sets.NAMES[label] for label in LABELS]

pytestmark = pytest.mark.usefixtures("five_files")


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


def test_a_damaged_file_of_tfds_is_one_line(pixels, tmp_path):
    data_sets.store(tmp_path / "tfds", "tiny", pixels, LABELS)
    (records,) = (tmp_path / "tfds" / "tiny").rglob("*-test.tfrecord-*")
    records.write_bytes(records.read_bytes()[:-4])
    found = DataSet("tiny", str(tmp_path / "tfds"))
    with pytest.raises(ImageError, match=r"^split test cannot be read \(.*truncated.*\)$"):
        found.labels("test")


def damage(*names):
    """Damages files: of every second one the header, of the others the body."""
    for number, name in enumerate(names):
        with open(name, "r+b") as file:
            file.truncate(20 if number % 2 else 60)


def test_damaged_files_are_named_at_once_or_left_out(labelled, pixels, tmp_path):
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
    (tmp_path / "classes" / "broken.png").write_bytes(b"")  # which would have no label
    labels = image_sources.read(["classes"], SHAPE, skip_damaged=True, need_labels=True).labels
    assert labels == found.labels
    (tmp_path / "classes" / "broken.png").unlink()
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
