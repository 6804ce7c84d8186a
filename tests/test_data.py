import dataclasses
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfp_vae.errors import InputError
from training.config import Config
from training.data import fingerprint, sources
from training.data import split as one_split
from training.data import splits as data
from training.data.split import Split


@pytest.fixture
def streaming(monkeypatch):
    """Nothing fits in memory."""
    monkeypatch.setattr(one_split, "IN_MEMORY_BYTES", 0)


@pytest.fixture
def photo_folder(tmp_path):
    """40 colour PNG files of different sizes in nested folders."""
    rng = np.random.default_rng(0)
    for index in range(40):
        folder = tmp_path / "photos" / f"class{index % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        size = rng.integers(20, 60, 2)
        pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return str(tmp_path / "photos")


def all_images(split):
    return np.stack(list(split.dataset().as_numpy_iterator()))


def batches(splits, count, start=0, seed=0, batch_size=64):
    stream = splits.training_batches(batch_size, seed, start=start)
    return list(stream.take(count).as_numpy_iterator())


def test_digits_are_split_by_the_seed_without_overlap():
    splits = data.load(Config())
    parts = [all_images(part) for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [1437, 180, 180]
    everything = np.concatenate(parts).reshape(1797, -1)
    again = all_images(sources.read(Config())["train"]).reshape(1797, -1)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, again))
    other = data.load(Config(seed=1))
    assert not np.array_equal(all_images(other.test), parts[2])
    same = data.load(Config())
    np.testing.assert_array_equal(all_images(same.test), parts[2])


def test_splits_that_the_data_has_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {name: rng.random((n, 8, 8)) for name, n in (("train", 30), ("test", 5))}
    np.savez(tmp_path / "x.npz", **arrays)
    splits = data.load(Config(dataset=str(tmp_path / "x.npz"), batch_size=4))
    np.testing.assert_array_equal(all_images(splits.test)[..., 0], np.float32(arrays["test"]))
    assert (splits.train.count, splits.validation.count) == (27, 3)


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "disk"])
def test_a_batch_is_a_function_of_seed_and_step(stream, request):
    tf.random.set_seed(0)  # as a run with --seed 0 does
    if stream:
        request.getfixturevalue("streaming")
    splits = data.load(Config())
    if stream:
        splits = _as_stream(splits)
    run = batches(splits, 60)
    for start in (1, 22, 37):
        for expected, actual in zip(run[start:], batches(splits, 60 - start, start), strict=True):
            np.testing.assert_array_equal(actual, expected)
    assert not np.array_equal(run[0], batches(splits, 1, seed=1)[0])
    grey = dataclasses.replace(splits, binarise=False)
    first, second = (batches(grey, 1, start=start)[0] for start in (0, 22))
    assert not np.array_equal(first, second)  # a new order in each epoch of 22 steps


def _as_stream(splits):
    """The same splits as if read from disk."""

    def streamed(split):
        return Split(
            split.count, split.shape, stream=lambda: split.dataset().map(lambda image: image)
        )

    parts = {name: streamed(getattr(splits, name)) for name in ("train", "validation", "test")}
    return data.Splits(**parts, binarise=splits.binarise)


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "disk"])
def test_an_epoch_is_every_image_once(stream):
    splits = data.load(Config(likelihood="continuous_bernoulli"))
    if stream:
        splits = _as_stream(splits)
    epoch = np.concatenate(batches(splits, 479, batch_size=3)).reshape(1437, -1)
    everything = np.float32(all_images(splits.train).reshape(1437, -1) / 255.0)
    rounded = [sorted(map(bytes, np.rint(x * 255).astype(np.uint8))) for x in (epoch, everything)]
    assert rounded[0] == rounded[1]


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "disk"])
def test_half_of_the_training_images_are_mirrored_afresh(stream):
    splits = data.load(Config(likelihood="continuous_bernoulli"))
    if stream:
        splits = _as_stream(splits)
    plain = np.concatenate(batches(splits, 44))  # two epochs
    mirrored = dataclasses.replace(splits, mirror=True)
    images = np.concatenate(batches(mirrored, 44))
    turned = (images == plain[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (images == plain).all(axis=(1, 2, 3))
    assert (turned | kept).all()
    assert abs(turned.mean() - 0.5) < 4.5 * np.sqrt(0.25 / len(plain))
    np.testing.assert_array_equal(images[64 * 30 :], np.concatenate(batches(mirrored, 14, 30)))
    held_out = (next(iter(each.evaluation_batches("test", 180, 0))) for each in (splits, mirrored))
    np.testing.assert_array_equal(*held_out)


def test_each_pass_mirrors_other_images():
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    split = Split(1, (8, 8, 1), pixels=tf.constant(grey))
    splits = data.Splits(split, split, split, binarise=False, mirror=True)
    first = np.stack(batches(splits, 200, batch_size=1))[..., 0, 0, 0]
    assert 70 < (first == grey[0, 0, -1]).sum() < 130


def test_memory_and_disk_hold_the_same_splits():
    in_memory = sources.read(Config())["train"]
    on_disk = Split(1797, (8, 8, 1), stream=in_memory.dataset)
    for name in ("train", "validation", "test"):
        a = data._with_all_splits({"train": in_memory}, 5)[name]
        b = data._with_all_splits({"train": on_disk}, 5)[name]
        assert a.count == b.count == len(all_images(a))
        np.testing.assert_array_equal(all_images(a), all_images(b))


def test_training_pixels_are_binarised_with_the_probability_of_their_grey():
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    split = Split(1, (8, 8, 1), pixels=tf.constant(grey))
    splits = data.Splits(split, split, split, binarise=True)
    drawn = np.stack(batches(splits, 4000, batch_size=1))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    error = 4.5 * np.sqrt(grey[0] * (1 - grey[0]) / 4000)
    np.testing.assert_array_less(np.abs(drawn.mean(axis=(0, 1)) - grey[0]), error + 1e-6)


def test_evaluation_pixels_are_binarised_once():
    splits = data.load(Config())
    for name in ("validation", "test"):
        first, second = (
            np.concatenate(list(splits.evaluation_batches(name, size, 0).as_numpy_iterator()))
            for size in (500, 7)
        )
        np.testing.assert_array_equal(first, second)
        assert set(np.unique(first)) == {0.0, 1.0}


def test_each_evaluation_image_has_noise_of_its_own():
    same = Split(50, (8, 8, 1), pixels=tf.fill([50, 8, 8, 1], 0.5))
    (images,) = data.Splits(same, same, same, binarise=True).evaluation_batches("test", 50, 0)
    assert len(np.unique(images.numpy().reshape(50, -1), axis=0)) == 50


def test_densities_see_grey():
    splits = data.load(Config(likelihood="independent_normal"))
    assert len(np.unique(batches(splits, 1)[0])) > 2


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "disk"])
def test_a_folder_of_photos_of_different_sizes(photo_folder, stream, request):
    if stream:
        request.getfixturevalue("streaming")
    config = Config(dataset=photo_folder, image_size=32, batch_size=8)
    splits = data.load(config)
    assert (splits.train.pixels is None) == stream
    assert splits.train.shape == (32, 32, 3)
    assert [splits.train.count, splits.validation.count, splits.test.count] == [32, 4, 4]
    assert batches(splits, 9, batch_size=8)[8].shape == (8, 32, 32, 3)
    assert len(all_images(splits.test)) == 4
    known = splits.evaluation_batches("test", 3, 0).cardinality()  # as Keras must know it
    assert int(known) == 2


def test_photos_of_different_sizes_need_a_size(photo_folder):
    with pytest.raises(InputError, match=r"files of \d+ sizes: give --image-size"):
        data.load(Config(dataset=photo_folder))


def test_odd_grey_images_of_a_npy(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 20)).astype(np.uint8)
    for name in ("x.npy", "X.NPY"):
        with open(tmp_path / name, "wb") as file:
            np.save(file, pixels)
        splits = data.load(Config(dataset=str(tmp_path / name), batch_size=8))
        assert splits.train.shape == (28, 20, 1)


def test_black_and_white_pixels_have_no_density(tmp_path):
    pixels = (np.random.default_rng(0).random((50, 8, 8)) < 0.5).astype(np.float32)
    np.save(tmp_path / "x.npy", pixels)
    for options in ({"likelihood": "continuous_bernoulli"}, {"likelihood": "independent_normal"}):
        with pytest.raises(InputError, match="are 0 or 1 only: expected grey levels"):
            data.load(Config(dataset=str(tmp_path / "x.npy"), batch_size=8, **options))
    fixed = {"likelihood": "independent_normal", "likelihood_scale": 1.0}
    data.load(Config(dataset=str(tmp_path / "x.npy"), batch_size=8, **fixed))


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((10, 8, 8)))
    with pytest.raises(InputError, match="--batch-size 64: expected at most the 8"):
        data.load(Config(dataset=str(tmp_path / "x.npy")))


@pytest.fixture
def mocked_mnist(tmp_path):
    """TFDS's own mock: random MNIST of 50 images a split, with the metadata of a prepared one."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = (
        tmp_path / "mnist" / tfds.builder("mnist", data_dir=str(tmp_path)).info.version.__str__()
    )
    folder.mkdir(parents=True)
    splits = [{"name": n, "shardLengths": ["50"], "numBytes": "1"} for n in ("train", "test")]
    info = {"name": "mnist", "version": folder.name, "fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with tfds.testing.mock_data(num_examples=50, data_dir=str(tmp_path)):
        yield str(tmp_path)


@pytest.mark.parametrize("stream", [False, True], ids=["memory", "disk"])
def test_tfds(mocked_mnist, stream, request):
    if stream:
        request.getfixturevalue("streaming")
    splits = data.load(Config(dataset="mnist", data_dir=mocked_mnist, batch_size=8))
    assert [splits.train.count, splits.validation.count, splits.test.count] == [45, 5, 50]
    assert batches(splits, 12, batch_size=8)[11].shape == (8, 28, 28, 1)
    resized = data.load(Config(dataset="mnist", data_dir=mocked_mnist, batch_size=8, image_size=14))
    assert batches(resized, 1, batch_size=8)[0].shape == (8, 14, 14, 1)


@pytest.mark.mnist
@pytest.mark.slow
def test_the_real_mnist(mnist_dir, request):
    config = Config(dataset="mnist", data_dir=mnist_dir, likelihood="continuous_bernoulli")
    splits = data.load(config)
    assert [splits.train.count, splits.validation.count, splits.test.count] == [54000, 6000, 10000]
    in_memory = all_images(splits.validation)
    assert in_memory.mean() == pytest.approx(33.3, abs=1.0)
    request.getfixturevalue("streaming")
    np.testing.assert_array_equal(all_images(data.load(config).validation), in_memory)


def test_a_fingerprint_of_a_streamed_data_set_of_tfds(mocked_mnist, streaming):
    config = Config(dataset="mnist", data_dir=mocked_mnist, batch_size=8)
    splits = data.load(config)
    for name in ("train", "test"):
        source = getattr(splits, name).source
        assert re.fullmatch(rf"mnist/\d+\.\d+\.\d+ {name} 1 bytes", source), source
    assert fingerprint.of(splits) == fingerprint.of(data.load(config))
