"""`python -m tfp_vae` as a whole: what it refuses, what it waits for, what it needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import folders
from PIL import Image

import tfp_vae
from tfp_vae.__main__ import main

ROOT = Path(__file__).parents[1]
SUM = "arithmetic run images.npy:0 {out}/a.png"
COMMANDS = [
    *("sample", "reconstruct", "denoise", "encode", "interpolate", "traverse", "arithmetic"),
    *("search build", "search query", "mixture", "info", "explore"),
]


@pytest.fixture(scope="module")
def place(grey_images, tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    folders.make(place, grey_images)
    return place


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sample nowhere {out}/s.png", "nowhere: no such folder"),
        ("sample run {out}/s.jpg", "s.jpg: expected a file that ends in .png, .npz"),
        ("sample run {out}/none/s.png", "none: expected one that can be written"),
        ("sample run /proc/s.png", "/proc/s.png: cannot be written"),
        ("sample run {out} --n 4", "expected a file that ends in"),
        (f"sample run {{out}}/{'a' * 300}.png", "cannot be written: File name too long"),
        (f"sample {'a' * 300} {{out}}/s.png", "File name too long: expected a run"),
        ("sample run {out}/s.npz --n 2147483647", "sample of 2147483647: arrays of "),
        ("sample run {out}/s.png --n 0", '"0" for --n. Must be >= 1'),
        ("sample run {out}/s.png --n 3.5", '"3.5" is not an integer'),
        ("sample run {out}/s.png --seed -1", '"-1" for --seed. Must be >= 0'),
        ("sample run {out}/s.png --sampler gmm", '"gmm"'),
        ("sample run {out}/s.png --sampler gaussian_mixture", "gaussian_mixture with a file"),
        ("sample run {out}/s.png --mixture m.npz", "prior without"),
        ("sample run {out}/s.png --sampler gaussian_mixture --mixture images.npy", "no array fin"),
        ("sample run", "OUT requires an argument"),
        ("reconstruct run none {out}/r.png", "none: no such file or folder"),
        ("denoise run images.npy {out}/d.png", "130 images: expected one"),
        ("denoise run images.npy:0 {out}/d.npz", "d.npz: expected a file that ends in .png"),
        ("denoise run large.png {out}/d.png", "large.png: 20x20x1 pixels: expected 8x9x1"),
        ("denoise run photos/0.png", "OUT requires an argument"),
        ("encode run bad.png {out}/e.csv", "bad.png: damaged"),
        ("encode run large.png {out}/e.csv", "large.png: 20x20x1 pixels: expected 8x9x1"),
        (
            "encode run photos {out}/e.csv --projector {out}/none/logs",
            "none: expected one that can",
        ),
        ("encode run photos {out}/e.csv --projector images.npy", "images.npy: a file: expected a"),
        ("encode run photos {out}/e.csv --projector /proc", "/proc/.new: cannot be written"),
        (f"encode run photos {{out}}/e.csv --projector {'a' * 300}", "File name too long"),
        ("info run --format yaml", '"yaml"'),
        ("interpolate run images.npy images.npy:0 {out}/i.png", "130 images: expected one"),
        (
            "interpolate run images.npy:1 images.npy:0 {out}/i.png --steps 1",
            "--steps. Must be >= 2",
        ),
        ("interpolate run images.npy:1 images.npy:0 {out}/i.png --format gif", "ends in .gif"),
        ("traverse run images.npy:0 {out}/t.png --dimension 4", "--dimension 4: expected 0 to 3"),
        ("traverse run images.npy:0 {out}/t.png --range 0 nan", "--range"),
        ("traverse run images.npy:0 {out}/t.png --range 0 1e300", "Must be from -1e+30 to 1e+30"),
        ("arithmetic run images.npy:0 {out}/a.png --with photos", "--without"),
        (
            f"{SUM} --with photos --without photos --with-label smiling",
            "--with, --with-label: both",
        ),
        (f"{SUM} --without-label smiling --labelled classes", "--with, --with-label: none given"),
        (f"{SUM} --with-label smiling --without photos", "--labelled: expected with --with-label"),
        (f"{SUM} --with photos --without photos --labelled classes", "--labelled: expected with"),
        (
            f"{SUM} --with-label happy --without-label smiling --labelled classes",
            "no label happy: expected one of not_smiling, smiling",
        ),
        (
            f"{SUM} --with-label happy --without photos --labelled classes --labelled photos",
            "photos: no labels: expected a folder whose files are all in sub-folders",
        ),
        (f"{SUM} --with-label 1 --without-label 2 --labelled images.npy", "images.npy: no labels"),
        ("encode run photos {out}/e.csv --background blurple", "expected a colour name, such as"),
        ("encode coloured photos {out}/e.csv", "config.json: background [1]: expected a colour"),
        ("encode run broken {out}/e.csv", "2 of 3 files are damaged: broken/a.png, broken/b.png"),
        ("search build run broken/a.png {out}/i.npz --skip-damaged", "a.png: not a PNG or JPEG"),
        ("traverse run photos/0.png {out}/t.png --skip-damaged", "--skip-damaged"),
        ("encode run tfds:mnist {out}/e.csv", "tfds:mnist: expected tfds:NAME:SPLIT or"),
        ("encode run tfds:no_such_set:test {out}/e.csv", "tfds:no_such_set:test: "),
        ("search query run index.npz photos/0.png", "index.npz: labels has shape (4,)"),
        ("search build plain photos {out}/x.npz --metric symmetric_kl", "deterministic posterior"),
        ("search query run images.npy images.npy:0", "images.npy: no array fingerprint, means"),
        ("mixture run photos {out}/m.npz", "--components 10: 3 images: expected more images"),
        ("nothing run", 'Unknown command "nothing"'),
        ("search find run", 'Unknown command "find"'),
        ("interpolate run images.npy:0 images.npy:1 . --format png", ".: a folder"),
        ("encode run esc\x1b[2J.png {out}/a.csv", "esc\\x1b[2J.png: no such file"),
        ("traverse run mask.png {out}/t.png", "uint8 images of 0 and 1 only"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    text, message, place, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save("large.png")
    Image.fromarray(np.ones((8, 9), np.uint8)).save("mask.png")
    Path("bad.png").write_bytes(Path("photos/0.png").read_bytes()[:60])
    Path("broken").mkdir(exist_ok=True)
    Path("broken/a.png").write_bytes(b"")
    Path("broken/b.png").write_bytes(Path("photos/0.png").read_bytes()[:60])
    shutil.copy("photos/0.png", "broken/c.png")
    shutil.copytree("run", "coloured", dirs_exist_ok=True)
    Path("coloured/1/config.json").write_text('{"background": [1]}')
    arrays = {"means": np.zeros((3, 4)), "names": list("abc"), "labels": list("abcd")}
    np.savez("index.npz", fingerprint="", **arrays)
    assert main(text.format(out=tmp_path).split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("reconstruct run {out}/x.npz:images {out}/x.npz", "x.npz"),
        ("encode run {out}/x.npz:images {out}/x.npz", "x.npz"),
        ("search build run {out}/x.npz {out}/../x/x.npz", "x.npz"),
        ("mixture run {out}/x.npz {out}/x.npz --components 2", "x.npz"),
        ("sample run {out}/x.npz --sampler gaussian_mixture --mixture {out}/x.npz", "x.npz"),
        ("reconstruct run {out}/0.png {out}/1.png {out}/0.png", "0.png"),
        ("denoise run {out}/0.png {out}/0.png", "0.png"),
        ("interpolate run {out}/0.png {out}/1.png {out}/1.png", "1.png"),
        ("traverse run {out}/0.png {out}/0.png", "0.png"),
        (
            "arithmetic run {out}/0.png {out}/1.png --with {out}/1.png --without {out}/0.png",
            "1.png",
        ),
    ],
)
def test_what_a_command_reads_it_does_not_overwrite(command, file, place, tmp_path, capsys):
    folder = tmp_path / "x"
    shutil.copytree(place / "photos", folder)
    np.savez(folder / "x.npz", images=np.load(place / "images.npy"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = command.replace(" run ", f" {place}/run ").format(out=folder).split()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{file}: the command reads it: expected another file to write\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("out", ["1.png", "deep/0.png", "linked/0.png"])
def test_no_image_of_a_folder_that_a_command_reads_is_replaced(out, place, tmp_path, capsys):
    folder = tmp_path / "few"
    shutil.copytree(place / "photos", folder)
    shutil.copytree(place / "photos", folder / "deep")
    shutil.copytree(place / "photos", tmp_path / "elsewhere")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert main(["reconstruct", str(place / "run"), str(folder), str(folder / out)]) == 2
    line = f"{folder / out}: the command reads it: expected another file to write\n"
    assert capsys.readouterr().err == line
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert after == before


def test_the_last_image_of_a_pattern_is_not_taken_for_the_file_to_write(place, tmp_path, capsys):
    folder = tmp_path / "x"
    shutil.copytree(place / "photos", folder)
    pattern = sorted(str(path) for path in folder.glob("*.png"))
    before = {path: Path(path).read_bytes() for path in pattern}
    assert main(["reconstruct", str(place / "run"), *pattern]) == 2
    line = f"{pattern[-1]}: an image beside those to read: expected another file to write\n"
    assert capsys.readouterr().err == line
    for _ in range(2):  # its own picture it replaces
        assert main(["reconstruct", str(place / "run"), *pattern, str(folder / "out.png")]) == 0
    assert {path: Path(path).read_bytes() for path in pattern} == before


def test_a_file_that_cannot_be_finished_keeps_its_old_content(place, tmp_path, monkeypatch, capsys):
    out = tmp_path / "z.npz"
    out.write_bytes(b"what was there")

    def failing(file, **arrays):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", failing)
    assert main(["encode", str(place / "run"), str(place / "images.npy"), str(out)]) == 1
    assert capsys.readouterr().err == "no space left\n"
    assert out.read_bytes() == b"what was there" and list(tmp_path.iterdir()) == [out]


def test_equal_images_have_no_mixture_of_several(place, tmp_path, capsys):
    np.save(tmp_path / "same.npy", np.repeat(np.load(place / "images.npy")[:1], 40, axis=0))
    words = ["mixture", place / "run", tmp_path / "same.npy", tmp_path / "m.npz"]
    assert main([str(word) for word in words]) == 2
    error = "--components 10: expected 1 to 1, the number of different latents\n"
    assert capsys.readouterr().err == error
    assert not (tmp_path / "m.npz").exists()


def test_an_index_or_a_mixture_of_another_model_is_refused(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    for text in ("search build run photos {out}/x.npz", "mixture run images.npy {out}/m.npz"):
        assert main(text.format(out=tmp_path).split()) == 0
    for text in (
        "search query plain {out}/x.npz images.npy:0",
        "sample plain {out}/s.png --sampler gaussian_mixture --mixture {out}/m.npz",
    ):
        assert main(text.format(out=tmp_path).split()) == 2
        assert "made with another model" in capsys.readouterr().err


def test_help_does_not_wait_for_tensorflow():
    code = """
import sys
sys.argv = ["-m"]  # as Python sets it while it looks for tfp_vae.__main__
from tfp_vae.__main__ import main
for command in sys.stdin.read().splitlines():
    assert main([*command.split(), "--help"]) == 0, command
assert "tensorflow" not in sys.modules
"""
    result = subprocess.run(
        [sys.executable, "-c", code], input="\n".join(COMMANDS), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert f"Usage: python -m tfp_vae {command}" in result.stdout


def test_a_process_without_keras_or_tfp_makes_the_same_samples(place, tmp_path, clean_environment):
    for package in ("tf_keras", "tensorflow_probability", "training"):
        (tmp_path / f"{package}.py").write_text(f"raise ImportError('{package} is not here')")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = subprocess.run(
        [sys.executable, "-m", "tfp_vae", "sample", "run", tmp_path / "s.npz", "--n", "600"],
        cwd=place,
        env={**clean_environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    drawn = tfp_vae.load(place / "run").prior_sample(600, seed=0)
    with np.load(tmp_path / "s.npz") as arrays:
        np.testing.assert_array_equal(arrays["latent"], drawn.latent)
        np.testing.assert_array_equal(arrays["image"], drawn.image)
