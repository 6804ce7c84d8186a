"""Everything that the command must refuse: one line that names it, exit code 2, nothing written."""

import os

import numpy as np
import pytest
from helpers.commands import command, in_process
from PIL import Image


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Files and folders that are no images, by name."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(0)
    grey = rng.random((40, 8, 8)).astype(np.float32)
    np.save(folder / "good.npy", grey)
    (folder / "empty").mkdir()
    (folder / "empty.npy").write_bytes(b"")
    (folder / "junk.npz").write_bytes(b"this is no archive")
    (folder / "junk.npy").write_bytes(rng.bytes(500))
    (folder / "text.txt").write_text("hello")
    (folder / "truncated.npy").write_bytes((folder / "good.npy").read_bytes()[:1000])
    np.savez(folder / "good.npz", train=grey)
    (folder / "truncated.npz").write_bytes((folder / "good.npz").read_bytes()[:3000])
    np.savez(folder / "no_train.npz", images=grey)
    np.savez(folder / "empty.npz")
    np.savez(folder / "mixed.npz", train=grey, test=rng.random((4, 9, 9)))
    np.save(folder / "objects.npy", np.array([grey[0], "x"], dtype=object), allow_pickle=True)
    np.save(folder / "nan.npy", np.where(grey > 0.99, np.nan, grey))
    np.save(folder / "bright.npy", grey * 255)
    np.save(folder / "negative.npy", grey - 0.5)
    np.save(folder / "integers.npy", (grey * 255).astype(np.int32))
    np.save(folder / "flat.npy", grey.reshape(40, 64))
    np.save(folder / "tiny.npy", grey[:, :4, :4])
    np.save(folder / "none.npy", grey[:0])
    np.save(folder / "one.npy", grey[:1])
    np.save(folder / "two_channels.npy", np.stack([grey, grey], axis=-1))
    np.save(folder / "zeros_and_ones.npy", (grey > 0.5).astype(np.uint8))
    np.save(folder / "binary.npy", (grey > 0.5).astype(np.float32))
    for name, sizes in (("sizes", (20, 30)), ("damaged", (64, 64, 64, 64)), ("small", (4, 4))):
        (folder / name).mkdir()
        for index, size in enumerate(sizes):
            pixels = rng.integers(0, 256, (size, size)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    damaged = folder / "damaged" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    (folder / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (folder / "broken" / name).write_bytes(b"\x89PNG")
    labels = np.arange(40)
    for name, arrays in (
        ("short", {"train_labels": labels[:39]}),
        ("fractions", {"train_labels": labels / 2}),
        ("square", {"train_labels": labels.reshape(8, 5)}),
        ("unnamed", {"train_labels": labels, "label_names": np.array(["a", "b"])}),
        ("below", {"train_labels": labels - 1, "label_names": labels.astype(str)}),
        ("numbers", {"train_labels": labels, "label_names": labels}),
        ("both", {"train_labels": labels, "test": grey, "test_labels": labels.astype(str)}),
    ):
        np.savez(folder / f"labels_{name}.npz", train=grey, **arrays)
    (folder / "fake").mkdir()
    (folder / "fake" / "a.png").write_text("not a picture")
    return folder


BAD_INPUT = [
    (("--network", "transformer"), "--network"),
    (("--posterior", "normal"), "--posterior"),
    (("--likelihood", "mse"), "--likelihood"),
    (("--likelihood-scale", "wide"), "--likelihood-scale"),
    (("--likelihood", "independent_normal", "--likelihood-scale", "0"), "--likelihood-scale 0: "),
    (
        ("--likelihood-scale", "0.5"),
        "--likelihood-scale 0.5: only for likelihood independent_normal, discretized_logistic, not "
        "independent_bernoulli",
    ),
    (("--network", "resnet", "--hidden-units", "9"), "--hidden-units 9: only for network dense"),
    (("--network", "dense", "--filters", "8"), "--filters 8: only for network conv, resnet"),
    (("--filters", "8"), "--filters 8: only for network conv, resnet, not dense"),
    (("--network", "conv", "--filters", "8", "0"), "--filters 0: input should be greater than"),
    (("--network", "conv", "--filters", "wide"), "--filters"),
    (("--activation", "swish"), "--activation"),
    (("--likelihood", "logistic"), "--likelihood"),
    (("--likelihood", "discretized_logistic", "--likelihood-scale", "0"), "--likelihood-scale 0: "),
    (
        ("--likelihood", "continuous_bernoulli", "--likelihood-scale", "per_pixel"),
        "--likelihood-scale per_pixel: only for likelihood independent_normal",
    ),
    (("--posterior", "deterministic", "--sparsity", "1"), "--sparsity 1: input should be less"),
    (("--sparsity", "0.1"), "--sparsity 0.1: only for posterior deterministic, not multivariate"),
    (("--active-units", "4"), "--active-units 4: only for posterior deterministic"),
    (
        ("--posterior", "deterministic", "--active-units", "17"),
        "--active-units 17: expected 1 to 16, the number of latents",
    ),
    (
        ("--posterior", "deterministic", "--sparsity", "0.1", "--active-units", "4"),
        "--sparsity 0.1 with active_units 4: give one of them",
    ),
    (("--epochs", "automatic"), "automatic"),
    (("--epochs", "1e3"), "1e3"),
    (("--patience", "-1"), "--patience -1: "),
    (("--patience", "soon"), "soon"),
    (("--patience", "2.5"), "2.5"),
    (
        ("--posterior", "deterministic", "--kl-warmup-epochs", "2"),
        "--kl-warmup-epochs 2: posterior deterministic has no KL: expected 0",
    ),
    (
        ("--model", "vq_vae", "--network", "conv", "--kl-warmup-epochs", "2"),
        "--kl-warmup-epochs 2: that of codes is a number: expected 0",
    ),
    (
        ("--model", "vq_vae", "--network", "conv", "--beta", "2"),
        "--beta 2.0: not for model vq_vae, whose latents are codes",
    ),
    (("--learning-rate-schedule", "linear"), "--learning-rate-schedule"),
    (("--corruption", "blur"), "--corruption"),
    (("--corruption", "masking", "--corruption-level", "0"), "--corruption-level 0: input should"),
    (
        ("--corruption-level", "0.5"),
        "--corruption-level 0.5: only for corruption gaussian, masking",
    ),
    (("--dropout", "1"), "--dropout 1: "),
    (("--dropout", "-0.1"), "--dropout -0.1: "),
    (("--model", "hierarchical", "--dropout", "0.1"), "--dropout 0.1: not for model hierarchical"),
    (("--network", "conv", "--hidden-units", "9"), "--hidden-units 9: only for network dense"),
    (("--kl", "both"), "--kl"),
    (("--jit-compile", "perhaps"), "--jit-compile"),
    (("--epoch", "3"), "--epoch"),
    (("surprise",), "surprise"),
    (("--epochs",), "--epochs"),
    (("--epochs", "0"), "--epochs 0"),
    (("--epochs", "-3"), "--epochs -3"),
    (("--epochs", "3.5"), "3.5"),
    (("--epochs", "many"), "many"),
    (("--batch-size", "0"), "--batch-size 0"),
    (("--batch-size", "100000"), "--batch-size 100000"),
    (("--latent-size", "0"), "--latent-size 0: input should be greater than or equal to 1"),
    (("--hidden-units", "20", "0"), "--hidden-units 0: input should be greater than or equal to 1"),
    (("--image-size", "4"), "--image-size 4"),
    (("--learning-rate", "nan"), "--learning-rate nan"),
    (("--learning-rate", "0"), "--learning-rate 0: "),
    (("--beta", "-1"), "--beta -1: input should be greater than or equal to 0"),
    (("--beta", "inf"), "--beta inf"),
    (("--kl-warmup-epochs", "-1"), "--kl-warmup-epochs -1"),
    (("--seed", "-1"), "--seed -1"),
    (("--seed", str(2**40)), "--seed"),
    (("--name", "../elsewhere"), "--name ../elsewhere"),
    (("--name", "/tmp/elsewhere"), "--name /tmp/elsewhere"),
    (("--name", ".."), "--name .."),
    (("--name", ""), "--name"),
    (("--name", "x.incomplete"), "--name x.incomplete: expected no .incomplete at the end"),
    (("--resume",), "--resume"),
    (("--resume", "--restart"), "--resume --restart: give one of them"),
    (("--dataset", "no_such_data_set"), "no_such_data_set"),
    (("--dataset", "no/such/folder"), "no/such/folder"),
    (("--dataset", "mnist", "--data-dir", "{bad}/empty"), ".download_and_prepare()"),
    (("--dataset", "mnist:9.9.9"), "mnist:9.9.9"),
    (("--dataset", ""), "--dataset"),
    *(
        (("--dataset", f"{{bad}}/{name}"), name)
        for name in (
            *("empty", "sizes", "damaged", "small", "fake", "text.txt", "missing.npz"),
            *("empty.npy", "junk.npz", "junk.npy", "truncated.npy", "truncated.npz"),
            *("no_train.npz", "empty.npz", "mixed.npz", "objects.npy", "nan.npy", "bright.npy"),
            *("negative.npy", "integers.npy", "flat.npy", "tiny.npy", "none.npy", "one.npy"),
            *("two_channels.npy", "zeros_and_ones.npy", "good.npy"),  # 64 to a batch of 32
        )
    ),
    (("--background", "blurple"), "--background blurple: expected a colour name, such as white"),
    (("--background", "#12345"), "--background #12345: expected a colour name"),
    (("--background", "rgb(300,0,0)"), "--background rgb(300,0,0): expected a colour name"),
    (("--background", ""), "--background : expected a colour name"),
    (("--skip-damaged",), "--skip-damaged: digits is no folder: expected one of images"),
    (("--skip-damaged", "--dataset", "{bad}/good.npy"), "good.npy is no folder"),
    (("--skip-damaged", "--dataset", "mnist"), "--skip-damaged: mnist is no folder"),
    (("--skip-damaged", "--dataset", "{bad}/broken"), "all 2 files are damaged: "),
    (("--dataset", "{bad}/broken"), "all 2 files are damaged: "),
    (("--skip-damaged", "--dataset", "{bad}/fake"), "a.png: not a PNG or JPEG"),
    (("--skip-damaged", "--dataset", "{bad}/damaged"), "--batch-size 64: expected at most the 1"),
    (("--dataset", "{bad}/labels_short.npz"), "train_labels: int64 [39]: expected integers or"),
    (("--dataset", "{bad}/labels_fractions.npz"), "train_labels: float64 [40]: expected integers"),
    (("--dataset", "{bad}/labels_square.npz"), "train_labels: int64 [8, 5]: expected integers"),
    (("--dataset", "{bad}/labels_unnamed.npz"), "train_labels: 0 to 39: expected 0 to 1, the"),
    (("--dataset", "{bad}/labels_below.npz"), "train_labels: -1 to 38: expected 0 to 39, the"),
    (("--dataset", "{bad}/labels_numbers.npz"), "label_names: int64 [40]: expected strings [K]"),
    (("--dataset", "{bad}/labels_both.npz"), "train_labels, test_labels: expected one type"),
    (
        ("--dataset", "{bad}/binary.npy", "--likelihood", "continuous_bernoulli"),
        "--likelihood continuous_bernoulli",
    ),
]


@pytest.mark.parametrize(("argv", "named"), BAD_INPUT, ids=lambda value: str(value)[:60])
def test_bad_input_is_one_line_and_leaves_nothing(argv, named, bad_files, tmp_path, capfd):
    argv = [word.format(bad=bad_files) for word in argv]
    status = in_process("--output-dir", tmp_path / "runs", *argv)
    error = capfd.readouterr().err
    assert status == 2
    assert error.count("\n") == 1 and named in error, error
    assert os.listdir(tmp_path) == []


def test_an_output_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        assert in_process("--output-dir", folder) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"--output-dir {folder}: cannot be written" in error
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_bad_input_of_the_real_command(clean_environment, tmp_path):
    result = command("--dataset", "no.npz", cwd=tmp_path, env=clean_environment)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("--dataset no.npz: no.npz: not a .npy or .npz")
    assert os.listdir(tmp_path) == []
