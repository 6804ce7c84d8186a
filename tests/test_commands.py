"""What each command of `python -m tfp_vae` writes, against the methods of the loaded model."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from helpers import folders
from helpers.models import small_vae
from PIL import Image

import tfp_vae
from tfp_vae.__main__ import main


@pytest.fixture(scope="module")
def place(grey_images, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    folders.make(place, grey_images)
    return place


@pytest.fixture(scope="module")
def model(place):
    return tfp_vae.load(place / "run")


@pytest.fixture
def run(place, tmp_path, monkeypatch, capsys):
    """Runs a command in the folder of the images; {out} is an empty folder. Returns its output."""
    monkeypatch.chdir(place)

    def command(text):
        assert main(text.format(out=tmp_path).split()) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return command


def cells(path, rows, columns):
    """The 8 x 9 images in a picture, which shows them six times as large: [N, 8, 9] in [0, 1]."""
    picture = np.asarray(Image.open(path).convert("L")) / 255.0
    assert picture.shape == (49 * rows + 1, 55 * columns + 1)
    large = [
        picture[49 * row + 1 : 49 * row + 49, 55 * column + 1 : 55 * column + 55]
        for row in range(rows)
        for column in range(columns)
    ]
    return np.stack(large)[:, ::6, ::6]


def assert_shows(path, images, rows, columns):
    """Whether the images are in the picture, up to its 256 grey levels."""
    shown = cells(path, rows, columns)[: len(images)]
    np.testing.assert_allclose(shown, images[..., 0], atol=0.51 / 255)


def test_sample(run, model, tmp_path):
    run("sample run {out}/s.png --n 7 --seed 3")
    assert_shows(tmp_path / "s.png", model.sample(7, seed=3), rows=3, columns=3)


def test_reconstruct(run, model, tmp_path, grey_images):
    run("reconstruct run images.npy {out}/r.npz")
    with np.load(tmp_path / "r.npz") as arrays:
        np.testing.assert_array_equal(arrays["image"], grey_images)
        np.testing.assert_array_equal(arrays["reconstruction"], model.reconstruct(grey_images))
        assert arrays["name"][7] == "images.npy:7"
    run("reconstruct run photos {out}/r.png")
    files = np.load("files.npy")
    pairs = np.concatenate([files / 255.0, model.reconstruct(files)])
    assert_shows(tmp_path / "r.png", pairs, rows=2, columns=3)
    names = " ".join(f"images.npy:{row}" for row in range(5))
    run(f"reconstruct run {names} {{out}}/r.png")
    five, white = model.reconstruct(grey_images[:5]), np.ones((3, 8, 9, 1))
    rows = [grey_images[:4], five[:4], grey_images[4:5], white, five[4:], white]
    assert_shows(tmp_path / "r.png", np.concatenate(rows), rows=4, columns=4)


def test_denoise(run, model, tmp_path):
    run("denoise run photos/1.png {out}/d.png")
    clean = model.reconstruct(np.load("files.npy")[1:2])[0, ..., 0]
    with Image.open(tmp_path / "d.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(255 * clean).astype(np.uint8))


def test_encode(run, model, tmp_path):
    run("encode run photos/2.png photos/0.png {out}/e.csv")
    posterior = model.posterior(np.load("files.npy")[[2, 0]])
    with open(tmp_path / "e.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["photos/2.png", "photos/0.png"]
    for key in ("mean", "stddev"):
        written = [[np.float32(row[f"{key}_{i}"]) for i in range(4)] for row in rows]
        np.testing.assert_array_equal(written, getattr(posterior, key))
    run("encode run photos {out}/e.npz")
    with np.load(tmp_path / "e.npz") as arrays:
        np.testing.assert_allclose(arrays["scale_tril"][[2, 0]], posterior.scale_tril, atol=1e-6)


def test_encode_writes_labels(run, model, tmp_path):
    run("encode run classes {out}/e.csv")
    with open(tmp_path / "e.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["name", "label", "mean_0"]
    assert [row["label"] for row in rows] == [row["name"].split("/")[1] for row in rows]
    run("encode run classes {out}/e.npz")
    with np.load(tmp_path / "e.npz") as arrays:
        assert arrays["label"].tolist() == [row["label"] for row in rows]
    run("encode run photos {out}/e.csv")
    assert "label" not in (tmp_path / "e.csv").read_text()


def test_interpolate(run, model, tmp_path, grey_images):
    run("interpolate run images.npy:0 images.npy:1 {out}/i.png --steps 5 --spherical")
    images = model.interpolate(*grey_images[:2], steps=5, spherical=True)
    assert_shows(tmp_path / "i.png", images, rows=1, columns=5)
    run("interpolate run images.npy:0 images.npy:1 {out}/i --steps 5 --format gif")
    images = model.interpolate(*grey_images[:2], steps=5)
    with Image.open(tmp_path / "i.gif") as film:
        assert film.n_frames == 5 and film.info["loop"] == 0
        film.seek(3)
        film.convert("L").save(tmp_path / "frame.png")
    assert_shows(tmp_path / "frame.png", images[3:4], rows=1, columns=1)


def test_traverse(run, model, tmp_path, grey_images):
    run("traverse run images.npy:4 {out}/t.png --dimension 3 1 --range -2 1 --steps 4")
    rows = [model.traverse(grey_images[4], d, [-2, -1, 0, 1]) for d in (3, 1)]
    assert_shows(tmp_path / "t.png", np.concatenate(rows), rows=2, columns=4)
    run("traverse run images.npy:4 {out}/t.npz")
    with np.load(tmp_path / "t.npz") as arrays:
        assert arrays["image"].shape == (4, 9, 8, 9, 1)


def test_arithmetic(run, model, tmp_path, grey_images):
    run(
        "arithmetic run images.npy:9 {out}/a.png --with images.npy:0 --with images.npy:1 "
        "--without photos --strength -1.5 0 2"
    )
    direction = model.latent_direction(grey_images[:2], np.load("files.npy"))
    images = model.apply_direction(grey_images[9], direction, [-1.5, 0.0, 2.0])
    assert_shows(tmp_path / "a.png", images, rows=1, columns=3)


def test_arithmetic_with_labels(run, tmp_path):
    flags = {
        "labels": "--with-label smiling --without-label not_smiling --labelled classes",
        "folders": "--with classes/smiling --without classes/not_smiling",
        "mixed": "--with classes/smiling --without-label not_smiling --labelled classes",
    }
    images = []
    for name, given in flags.items():
        run(f"arithmetic run images.npy:9 {{out}}/{name}.npz {given}")
        with np.load(tmp_path / f"{name}.npz") as arrays:
            images.append(arrays["image"])
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    run(
        "arithmetic run images.npy:9 {out}/twice.npz --with-label smiling --without photos "
        "--labelled classes --labelled classes"
    )
    with np.load(tmp_path / "twice.npz") as arrays:
        assert not np.array_equal(arrays["image"], images[0])


@pytest.mark.parametrize("metric", ["euclidean", "symmetric_kl"])
def test_search_counts_labels(metric, run, tmp_path, grey_images):
    labels = np.where(np.arange(10) % 3, "smiling", "not_smiling")
    np.savez("labelled.npz", test=grey_images[:10], test_labels=labels)
    run(f"search build run classes {{out}}/index.npz --metric {metric}")
    run(f"search build run photos {{out}}/bare.npz --metric {metric}")
    for image, label in (
        ("classes/smiling/1.png", "smiling"),
        ("classes/not_smiling/0.png", "not_smiling"),
        ("labelled.npz:test:3", "not_smiling"),
    ):
        *found, last = run(f"search query run {{out}}/index.npz {image} --count 4").splitlines()
        same = sum(f"classes/{label}/" in line for line in found)
        assert last == f"{same} of 4 have the label of the query, {label}" and same > 0
    for index, image in (
        ("index", "photos/0.png"),
        ("index", "images.npy:0"),
        ("bare", "classes/smiling/1.png"),
    ):
        assert "label" not in run(f"search query run {{out}}/{index}.npz {image}").splitlines()[-1]


@pytest.mark.parametrize("metric", ["euclidean", "symmetric_kl"])
def test_search(metric, run, model, tmp_path, grey_images):
    run(f"search build run images.npy {{out}}/index.npz --metric {metric}")
    printed = run(
        "search query run {out}/index.npz images.npy:5 {out}/q.png --count 3"
    ).splitlines()
    distances, names = zip(*(line.split("\t") for line in printed), strict=True)
    assert names[0] == "images.npy:5" and float(distances[0]) == 0.0
    found = [int(name.rpartition(":")[2]) for name in names]
    assert_shows(tmp_path / "q.png", grey_images[[5, *found]], rows=2, columns=2)
    if metric == "euclidean":
        z = model.encode(grey_images)
        expected = np.linalg.norm(z - z[5], axis=1)
        assert found == np.argsort(expected)[:3].tolist()
        np.testing.assert_allclose(np.float64(distances), np.sort(expected)[:3], atol=1e-4)


def test_a_mixture_and_its_samples(run, tmp_path):
    printed = run("mixture run images.npy {out}/m.npz --components 2")
    assert "of 13 held-out latent means" in printed
    prior, mixture = map(float, re.search("prior (.*), mixture (.*)\n", printed).groups())
    assert mixture > prior
    run("sample run {out}/s.npz --n 5 --sampler gaussian_mixture --mixture {out}/m.npz")
    run("sample run {out}/p.npz --n 5")
    with np.load(tmp_path / "s.npz") as drawn, np.load(tmp_path / "p.npz") as of_prior:
        assert drawn["latent"].shape == (5, 4) and drawn["image"].shape == (5, 8, 9, 1)
        assert not np.allclose(drawn["latent"], of_prior["latent"])


def test_the_label_of_a_query_is_a_folder_above_it(run, tmp_path, grey_images):
    for label in ("cats", "dogs"):
        (tmp_path / label / "2020").mkdir(parents=True)
        for index, image in enumerate(np.rint(255 * grey_images[:3]).astype(np.uint8)):
            Image.fromarray(image[..., 0]).save(tmp_path / label / "2020" / f"{index}.png")
    run("search build run {out} {out}/i.npz")
    printed = run("search query run {out}/i.npz {out}/cats/2020/1.png --count 6")
    assert printed.endswith("3 of 6 have the label of the query, cats\n")


def test_info(run, place):
    (place / "run" / "1" / "metrics.json").write_text('{"elbo": -12.5}')
    printed = run("info run")
    assert "run/1: images (8, 9, 1), 4 latents" in printed
    parameters = sum(np.prod(weight.shape, dtype=int) for weight in small_vae().trainable_weights)
    assert f"\n{parameters:,} parameters, {4e-6 * parameters:.1f} MB in float32\n" in printed
    assert "nats per image\n  elbo: -12.5" in printed
    assert "decode(latent float32 (None, 4)) -> mean float32 (None, 8, 9, 1)" in printed


def test_info_as_json(run, model, place):
    (place / "run" / "1" / "metrics.json").write_text('{"elbo": -12.5, "kl": NaN}')
    printed = json.loads(run("info run --format json"), parse_constant=pytest.fail)
    assert printed["path"] == "run/1" and printed["metrics"] == {"elbo": -12.5, "kl": None}
    assert (printed["image_shape"], printed["latent_size"]) == ([8, 9, 1], 4)
    assert printed["num_parameters"] == sum(model.weight_sizes)
    description = json.loads((place / "run" / "1" / "assets" / "tfp_vae.json").read_text())
    assert printed["description"] == description
    assert printed["signatures"].keys() == model.signatures.keys()
    assert printed["signatures"]["decode"] == {
        "inputs": {"latent": {"dtype": "float32", "shape": [None, 4]}},
        "outputs": {"mean": {"dtype": "float32", "shape": [None, 8, 9, 1]}},
    }


def test_the_background_is_that_of_the_run(run, model, place, tmp_path):
    Image.new("LA", (9, 8), (0, 0)).save("clear.png")
    config = place / "run" / "1" / "config.json"
    for settings, flags, grey in (
        (None, "", 0),
        ({}, "", 0),
        ({"background": "white"}, "", 1),
        ({"background": "white"}, "--background #000000", 0),
    ):
        if settings is not None:
            config.write_text(json.dumps(settings))
        run(f"reconstruct run clear.png {{out}}/r.npz {flags}")
        with np.load(tmp_path / "r.npz") as arrays:
            np.testing.assert_array_equal(arrays["image"], np.full((1, 8, 9, 1), grey))
    config.unlink()


def test_damaged_files_are_left_out(run, tmp_path):
    shutil.copytree("photos", tmp_path / "some")
    (tmp_path / "some" / "1.png").write_bytes(b"")
    printed = run("encode run {out}/some {out}/e.npz --skip-damaged").splitlines()
    assert printed[0] == f"left out 1 file, damaged: {tmp_path}/some/1.png"
    run("encode run photos/0.png photos/2.png {out}/good.npz")
    with np.load(tmp_path / "e.npz") as some, np.load(tmp_path / "good.npz") as good:
        np.testing.assert_array_equal(some["mean"], good["mean"])


@pytest.mark.mnist
def test_a_split_of_tfds_as_a_user_gives_it(place, mnist_dir, tmp_path, clean_environment):
    argv = ["encode", "run", "tfds:mnist:test:3", tmp_path / "e.csv", "--resize"]
    result = subprocess.run(
        [sys.executable, "-m", "tfp_vae", *argv],
        cwd=place,
        env={**clean_environment, "TFDS_DATA_DIR": mnist_dir},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    row = next(iter(tfds.load("mnist", split="test[3:4]", data_dir=mnist_dir)))
    assert f"tfds:mnist:test:3,{row['label']}," in (tmp_path / "e.csv").read_text()


def test_resize_converts_what_it_is_asked_to(run, model, tmp_path):
    Image.fromarray(np.full((20, 30, 3), 255, np.uint8)).save("colour.png")
    run("encode run colour.png {out}/e.npz --resize")
    with np.load(tmp_path / "e.npz") as arrays:
        np.testing.assert_allclose(arrays["mean"], model.encode(np.ones((1, 8, 9, 1))), atol=1e-6)
