"""What identifies a run's images, and what becomes of a run whose images have changed."""

import json

import numpy as np
from helpers.commands import in_process
from PIL import Image

from training.config import Config
from training.data import fingerprint, split
from training.data import splits as data


def fingerprints(config):
    return fingerprint.of(data.load(config))


def test_a_fingerprint_is_of_the_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8)
    path = tmp_path / "x.npy"
    np.save(path, pixels)
    config = Config(dataset=str(path), batch_size=4)
    before = fingerprints(config)
    assert before.splits == {
        "train": (24, 8, 8, 1),
        "validation": (3, 8, 8, 1),
        "test": (3, 8, 8, 1),
    }
    assert before.difference(fingerprints(config)) is None
    pixels[17, 3, 3] ^= 1
    np.save(path, pixels)
    assert before.difference(fingerprints(config)) == "as many images as before, with other content"
    np.save(path, np.concatenate([pixels, pixels[:5]]))
    found = before.difference(fingerprints(config))
    assert found == "train had 24 images of 8x8x1, has 27 images of 8x8x1"
    other = fingerprints(config.model_copy(update={"image_size": 9}))
    assert before.difference(other).startswith("train had 24 images of 8x8x1, has 27 images of 9x9")


def test_a_fingerprint_of_streamed_files_is_of_their_names_and_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr(split, "IN_MEMORY_BYTES", 0)
    random = np.random.default_rng(0)
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for index in range(30):
        pixels = random.integers(0, 256, (9, 9, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "sub" / f"{index}.png")
    config = Config(dataset=str(tmp_path / "photos"), image_size=8, batch_size=8)
    before = fingerprints(config)
    assert before.difference(fingerprints(config)) is None
    changed = tmp_path / "photos" / "sub" / "3.png"
    changed.rename(changed.with_name("renamed.png"))
    renamed = fingerprints(config)
    assert before.difference(renamed) == "as many images as before, with other content"
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(changed.with_name("renamed.png"))
    assert renamed.difference(fingerprints(config)) is not None


def test_other_images_are_refused_and_nothing_is_changed(tmp_path, monkeypatch, capsys):
    path, folder = tmp_path / "x.npy", tmp_path / "runs" / "x"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    np.save(path, pixels)
    argv = [
        "--output-dir",
        tmp_path / "runs",
        "--dataset",
        path,
        "--batch-size",
        8,
        "--hidden-units",
        8,
    ]
    with monkeypatch.context() as patch:
        patch.setattr("training.run.folder.Run.publish", lambda run: None)
        assert in_process(*argv, "--epochs", 1) == 0
    capsys.readouterr()
    before = {entry: entry.stat().st_mtime_ns for entry in folder.rglob("*")}
    for images, found in (
        (255 - pixels, "as many images as before, with other content"),
        (pixels[:30], "train had 32 images of 8x8x1, has 24 images of 8x8x1"),
    ):
        np.save(path, images)
        assert in_process(*argv, "--epochs", 2, "--resume") == 2
        assert capsys.readouterr().err == (
            f"--dataset {path}: {found}: expected the images that {folder / '1.incomplete'} was "
            "started with, or --restart in place of --resume\n"
        )
        assert {entry: entry.stat().st_mtime_ns for entry in folder.rglob("*")} == before

    # A run of version 0.1.0 has no entry for its images.
    config = folder / "1.incomplete" / "config.json"
    values = json.loads(config.read_text())
    del values["data"]
    config.write_text(json.dumps(values))
    assert in_process(*argv, "--epochs", 2, "--resume") == 0
    assert (
        json.loads((folder / "1" / "config.json").read_text())["data"]["splits"]["train"][0] == 24
    )
