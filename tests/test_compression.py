"""Codes in their bits, and the commands of models of codes."""

import numpy as np
import pytest
from helpers import folders
from helpers.models import small_vae
from helpers.parts import CODES
from PIL import Image

import tfp_vae
from tfp_vae.__main__ import main
from tfp_vae.latent_space import packing


@pytest.mark.parametrize("size", [2, 3, 8, 9, 512, 65536])
def test_unpacked_codes_are_those_that_were_packed(size):
    codes = np.random.default_rng(0).integers(size, size=(5, 7)).astype(np.int32)
    codes[0], codes[1] = 0, size - 1
    packed = packing.pack(codes, size)
    assert packed.shape == (5, -(-7 * packing.bits(size) // 8))
    np.testing.assert_array_equal(packing.unpack(packed, 7, size), codes)


@pytest.fixture(scope="module")
def place(grey_images, tmp_path_factory):
    """The folder of `helpers.folders` with a run of codes, `codes`, beside `run`."""
    place = tmp_path_factory.mktemp("place")
    folders.make(place, grey_images)
    vae = small_vae(latent_size=16, images=np.asarray(grey_images), **CODES[0])
    tfp_vae.export(vae, place / "codes")
    Image.fromarray((255 * grey_images[0, ..., 0]).astype(np.uint8)).save(place / "q.png")
    return place


@pytest.fixture
def command(place, tmp_path, monkeypatch, capsys):
    """The exit code of a command, what it prints, and what it says on stderr."""
    monkeypatch.chdir(place)

    def run(text):
        code = main(text.format(out=tmp_path).split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_what_is_decompressed_is_the_reconstruction(command, tmp_path):
    code, printed, _ = command("compress codes q.png {out}/codes.npz")
    assert code == 0
    assert "1 images, 6 codes of 3 bits each: 0.2500 bits per pixel (0.2500 under" in printed
    assert command("decompress codes {out}/codes.npz {out}/back.npz")[0] == 0
    assert command("reconstruct codes q.png {out}/reconstructed.npz")[0] == 0
    back = np.load(tmp_path / "back.npz")["image"]
    reconstructed = np.load(tmp_path / "reconstructed.npz")
    np.testing.assert_array_equal(back, reconstructed["reconstruction"])
    error = np.mean((back - reconstructed["image"]) ** 2)
    assert f"PSNR {-10 * np.log10(error):.2f} dB" in printed


def test_each_other_command_works(command, tmp_path):
    for text in (
        "info codes",
        "sample codes {out}/s.npz --n 3",
        "encode codes q.png {out}/e.csv",
        "encode codes q.png {out}/e.npz",
        "search build codes q.png {out}/index.npz",
        "search query codes {out}/index.npz q.png",
    ):
        code, printed, error = command(text)
        assert (code, error) == (0, ""), text
    assert printed.startswith("0.0000\tq.png")
    codes = np.load(tmp_path / "e.npz")["code"]
    assert (codes.shape, codes.dtype) == ((1, 6), np.int32)
    assert "code_5" in (tmp_path / "e.csv").read_text().splitlines()[0]
    assert np.load(tmp_path / "s.npz")["latent"].max() < 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compress run q.png {out}/a.npz", "compress: run is a vae: expected a vq_vae or a"),
        ("decompress run codes.npz {out}/a.npz", "decompress: run is a vae: expected a vq_vae"),
        ("decompress codes q.png {out}/a.npz", "q.png: "),
        ("compress codes q.png {out}/a.zip", "a.zip: expected a file that ends in .npz"),
        ("compress codes no.png {out}/a.npz", "no.png"),
        ("decompress codes {out}/none.npz {out}/a.npz", "none.npz"),
        ("interpolate codes q.png q.png {out}/a.png", "interpolate: the latents of vq_vae are"),
        ("traverse codes q.png {out}/a.png", "traverse: the latents of vq_vae are codes, which"),
        ("mixture codes q.png {out}/a.npz", "mixture: the latents of vq_vae are codes, which"),
        ("arithmetic codes q.png {out}/a.png --with q.png --without q.png", "latent_direction: "),
        ("search build codes q.png {out}/a.npz --metric symmetric_kl", "has a vector posterior"),
    ],
)
def test_what_is_refused_is_one_line(command, text, message, tmp_path):
    code, _, error = command(text)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_codes_of_another_model_are_refused(command, tmp_path, grey_images):
    assert command("compress codes q.png {out}/codes.npz")[0] == 0
    other = small_vae(latent_size=16, images=np.asarray(grey_images), **CODES[0])
    tfp_vae.export(other, tmp_path / "other")
    code, _, error = command("decompress {out}/other {out}/codes.npz {out}/a.npz")
    assert (code, "made with another model" in error) == (2, True)


def test_a_file_with_too_large_a_code_is_refused(tmp_path):
    packing.save(tmp_path / "f", np.full((1, 2), 7), 8, names=["a"], fingerprint="x")
    for size, count, message in (
        (5, 2, "code 7: expected codes below 5"),
        (8, 9, "bytes an image"),
    ):
        with pytest.raises(ValueError, match=message):
            packing.load(tmp_path / "f", count, size, fingerprint="x")
