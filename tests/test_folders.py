"""Training data as people have it: labels, transparency and damaged files."""

import json

import numpy as np
import pytest
from helpers import data_sets
from helpers.commands import command
from PIL import Image

from tfp_vae.errors import InputError
from tfp_vae.images import folders
from training.config import Config
from training.data import fingerprint, sources, split
from training.data import splits as data


@pytest.fixture(params=["memory", "disk"])
def kept(request, monkeypatch):
    """Where the images of a folder are kept."""
    if request.param == "disk":
        monkeypatch.setattr(split, "IN_MEMORY_BYTES", 0)
    return request.param


@pytest.fixture
def folder(tmp_path):
    """40 grey images of 9x9 in the sub-folders `class0` to `class2`."""
    write(tmp_path / "photos")
    return tmp_path / "photos"


def write(folder, count=40):
    rng = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class{index % 3}" / "deep"
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (9, 9)).astype(np.uint8)
        pixels[0, 0] = index
        Image.fromarray(pixels).save(place / f"{index}.png")


def all_images(part):
    return np.stack(list(part.dataset().as_numpy_iterator()))


def damage(folder, header=(), body=()):
    """Damages the files of those numbers."""
    for size, numbers in ((20, header), (80, body)):
        for number in numbers:
            path = folder / f"class{number % 3}" / "deep" / f"{number}.png"
            path.write_bytes(path.read_bytes()[:size])


def config_of(path, **options):
    return Config(dataset=str(path), batch_size=4, **options)


def test_labels_of_a_folder_follow_its_images(folder, kept):
    splits = data.load(config_of(folder))
    for part in (splits.train, splits.validation, splits.test):
        assert (part.pixels is None) == (kept == "disk")
        numbers = all_images(part)[:, 0, 0, 0]
        np.testing.assert_array_equal(part.labels(), numbers % 3)
        assert part.label_names == ("class0", "class1", "class2")


def test_a_stream_decodes_what_is_used(folder, monkeypatch):
    monkeypatch.setattr(split, "IN_MEMORY_BYTES", 0)
    splits = data.load(config_of(folder, seed=1))
    read, of_file = [], folders.ImageFiles.read
    monkeypatch.setattr(
        folders.ImageFiles, "read", lambda files, path: read.append(path) or of_file(files, path)
    )
    assert len(all_images(splits.validation)) == len(read) == 4
    whole = list(splits.training_batches(4, 1).take(3).as_numpy_iterator())
    read.clear()
    (left,) = splits.training_batches(4, 1, start=2).take(1).as_numpy_iterator()
    np.testing.assert_array_equal(left, whole[2])
    assert len(all_images(splits.train)) == 32


def test_a_folder_with_a_file_outside_its_sub_folders_has_no_labels(folder):
    (folder / "class0" / "deep" / "0.png").rename(folder / "0.png")
    part = data.load(config_of(folder)).test
    assert part.labels is None and part.label_names is None


def test_labels_of_arrays_follow_their_images(tmp_path):
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(0, 256, (n, 8, 8)).astype(np.uint8) for name, n in SIZES.items()}
    for images in pixels.values():
        images[:, 0, 0] = np.arange(len(images))
    numbers = {f"{name}_labels": np.arange(n) % 3 for name, n in SIZES.items()}
    names = np.array(data_sets.NAMES)
    texts = {name: names[values] for name, values in numbers.items()}
    texts["test_labels"] = np.array(["dog", "newt", "dog", "newt", "dog"])  # and no cat
    for arrays, expected in (
        ({**numbers, "label_names": names}, data_sets.NAMES),
        (texts, data_sets.NAMES),
        (numbers, None),
    ):
        np.savez(tmp_path / "x.npz", **pixels, **arrays)
        splits = data.load(config_of(tmp_path / "x.npz"))
        for part in (splits.train, splits.validation):
            np.testing.assert_array_equal(part.labels(), all_images(part)[:, 0, 0, 0] % 3)
            assert part.label_names == expected
        assert splits.test.label_names == expected
    np.savez(tmp_path / "x.npz", **pixels, **texts)
    assert data.load(config_of(tmp_path / "x.npz")).test.labels().tolist() == [1, 2, 1, 2, 1]


SIZES = {"train": 30, "test": 5}


def test_labels_of_tfds_have_names(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1)).astype(np.uint8)
    pixels[:, 0, 0, 0] = np.arange(30)
    data_sets.store(tmp_path, "tiny", pixels, np.arange(30) % 3)
    splits = data.load(config_of("tiny", data_dir=str(tmp_path)))
    for part in (splits.train, splits.validation, splits.test):
        np.testing.assert_array_equal(part.labels(), all_images(part)[:, 0, 0, 0] % 3)
        assert tuple(part.label_names) == data_sets.NAMES


def test_tfds_images_with_an_alpha_are_composited(tmp_path, kept):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 4)).astype(np.uint8)
    pixels[..., 3] = np.arange(30)[:, None, None] * 8
    data_sets.store(tmp_path, "clear", pixels, np.zeros(30))
    options = {"data_dir": str(tmp_path), "background": "#c81e00"}
    found = all_images(sources.read(config_of("clear", **options))["train"])
    alpha = pixels[..., 3:] / 255
    expected = alpha * pixels[..., :3] + (1 - alpha) * (200, 30, 0)
    order = np.lexsort(found.reshape(30, -1).T), np.lexsort(np.rint(expected).reshape(30, -1).T)
    np.testing.assert_allclose(found[order[0]], expected[order[1]], atol=0.51)


@pytest.mark.parametrize("background", ["black", "white", "#c81e00"])
def test_the_background_of_a_folder(background, tmp_path, kept):
    (tmp_path / "clear").mkdir()
    for index in range(12):
        Image.new("RGBA", (9, 8), (255, 255, 255, 0)).save(tmp_path / "clear" / f"{index}.png")
    config = config_of(tmp_path / "clear", background=background)
    colour = {"black": (0, 0, 0), "white": (255, 255, 255)}.get(background, (200, 30, 0))
    assert np.all(all_images(sources.read(config)["train"]) == colour)


def test_damaged_files_are_all_named(folder, capsys):
    damage(folder, header=[3, 7], body=[0, 20])
    with pytest.raises(InputError) as error:
        data.load(config_of(folder))
    names = ["class0/deep/0.png", "class0/deep/3.png", "class1/deep/7.png", "class2/deep/20.png"]
    assert str(error.value) == (
        f"--dataset {folder}: 4 of 40 files are damaged: "
        f"{', '.join(f'{folder}/{name}' for name in names)}: --skip-damaged leaves them out"
    )
    assert capsys.readouterr() == ("", "")


def test_damaged_bodies_alone_are_all_named(folder):
    damage(folder, body=[0, 20])
    with pytest.raises(InputError, match=r"2 of 40 files are damaged: .*/0\.png, .*/20\.png: "):
        data.load(config_of(folder))


def test_of_a_stream_the_headers_are_checked(folder, monkeypatch):
    monkeypatch.setattr(split, "IN_MEMORY_BYTES", 0)
    damage(folder, body=[0, 20])
    assert data.read(config_of(folder))["train"].count == 32  # the headers are good
    with pytest.raises(InputError, match=r"images cannot be read \(.*damaged"):
        data.load(config_of(folder))  # looks at the first images, to choose by them
    damage(folder, header=[3, 7])
    with pytest.raises(InputError, match=r"2 of 40 files are damaged: .*/3\.png, .*/7\.png: "):
        data.load(config_of(folder))


def test_without_damaged_files_the_run_has_the_images_of_a_clean_folder(folder, kept, capsys):
    bodies, headers = [0, 20], [3, 7]
    # What is left out decides nothing, not even the number of channels.
    noise = np.random.default_rng(1).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "class0" / "deep" / "0.png")
    damage(folder, headers, bodies)
    config = config_of(folder, skip_damaged=True)
    splits = data.load(config)
    printed = capsys.readouterr()
    assert printed.out.startswith(f"left out 4 files, damaged: {folder}/class0/deep/0.png, ")
    assert printed.out.count("\n") == 1 and printed.err == ""
    for number in bodies + headers:
        (folder / f"class{number % 3}" / "deep" / f"{number}.png").unlink()
    clean = data.load(config_of(folder))
    assert splits.train.shape == clean.train.shape == (9, 9, 1)
    for name in ("train", "validation", "test"):
        parts = [getattr(each, name) for each in (splits, clean)]
        np.testing.assert_array_equal(*map(all_images, parts))
        np.testing.assert_array_equal(*(part.labels() for part in parts))
    assert fingerprint.of(splits) == fingerprint.of(clean)
    assert data.load(config).train.count == clean.train.count
    assert capsys.readouterr().out == ""


def test_names_of_damaged_files_do_not_reach_the_terminal_raw(folder, capsys):
    (folder / "class0" / "\x1b[2J\n.png").write_bytes(b"")
    data.load(config_of(folder, skip_damaged=True))
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "class0/\\x1b[2J .png" in out


def test_at_most_ten_damaged_files_are_named(folder, capsys):
    damage(folder, header=range(15))
    with pytest.raises(
        InputError, match=r"15 of 40 files are damaged: .*, \.\.\.: --skip"
    ) as error:
        data.load(config_of(folder))
    assert str(error.value).count(".png") == 10
    data.load(config_of(folder, skip_damaged=True))
    out = capsys.readouterr().out
    assert out.startswith("left out 15 files, damaged: ") and out.endswith(", ...\n")
    assert out.count(".png") == 10


def test_a_run_on_such_files_says_nothing_on_stderr(tmp_path, clean_environment):
    rng = np.random.default_rng(0)
    broken_exif = Image.Exif()
    broken_exif[0x010F] = "a camera of some name"
    for index in range(20):
        image = Image.fromarray(rng.integers(0, 4, (9, 9)).astype(np.uint8))
        image.putpalette(rng.bytes(12))
        place = tmp_path / "photos" / f"class{index % 2}"
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{index}.png", transparency=bytes([0, 80, 255, 255]))
        exif = broken_exif.tobytes()[:-9]
        image.convert("RGB").save(place / f"{index}.jpg", exif=exif)
    (place / "19.png").write_bytes(b"")
    with pytest.warns(UserWarning), Image.open(place / "1.jpg") as image:
        image.getexif()
    flags = ["--background", "white", "--skip-damaged", "--batch-size", 8, "--epochs", 1]
    argv = ["--dataset", "photos", "--hidden-units", 8, "--latent-size", 2, *flags]
    result = command(*argv, cwd=tmp_path, env=clean_environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "left out 1 file, damaged: photos/class1/19.png\n" in result.stdout
    settings = json.loads((tmp_path / "saved_models/photos/1/config.json").read_text())
    assert (settings["background"], settings["skip_damaged"]) == ("white", True)
    assert settings["data"]["splits"]["train"] == [31, 9, 9, 3]


@pytest.mark.smiles
def test_the_labels_of_the_smiles(smiles):
    part = sources.read(Config(dataset=smiles))["train"]
    assert part.label_names == ("not_smiling", "smiling")
    assert np.bincount(part.labels()).tolist() == [9_475, 3_690]


@pytest.mark.cifar10
def test_the_labels_of_cifar10(cifar10):
    splits = data.load(Config(dataset=cifar10, likelihood="continuous_bernoulli"))
    for part in (splits.train, splits.validation, splits.test):
        assert part.labels().shape == (part.count,)
        assert len(part.label_names) == 10 and set(part.labels()) == set(range(10))
