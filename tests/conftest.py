"""What several test files share."""

import ctypes
import gc
import itertools
import os
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

import tfp_vae  # first, so that TensorFlow starts quietly

# The same inputs each time, in seconds; `--hypothesis-profile=long` tries other ones, for minutes.
hypothesis.settings.register_profile(
    "default", derandomize=True, deadline=None, max_examples=100, database=None
)
hypothesis.settings.register_profile("long", deadline=None, max_examples=3000, database=None)
hypothesis.settings.load_profile("default")

BESIDE = Path(__file__).parents[1].parent / "shared"  # the checkout
TFDS = Path(os.environ.get("TFDS_DATA_DIR", BESIDE / "tensorflow_datasets"))
# Real data by the marker of the tests that need it.
REAL = {
    "mnist": TFDS / "mnist",
    "smiles": BESIDE / "images" / "smiles",
    "cifar10": BESIDE / "images" / "cifar10.npz",
}


def pytest_collection_modifyitems(items):
    for item in items:
        for marker, path in REAL.items():
            if marker in item.keywords and not path.exists():
                item.add_marker(pytest.mark.skip(reason=f"no {path}"))


def pytest_collection_finish():
    # All that was imported lives as long as the tests: a collection need not look at it again. The
    # objects of a graph stay too: with Python's thresholds they are looked at while it is traced.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


TESTS = itertools.count(1)
# Of glibc: gives freed memory back to the operating system, a tenth to a fifth of a worker's.
RETURN_MEMORY = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None


@pytest.fixture(autouse=True)
def freed_memory():
    """Frees the models and graphs of the tests before, now and then: a collection takes time."""
    yield
    if next(TESTS) % 5:
        return
    from tensorflow.python.framework import ops
    from tensorflow_probability.python.bijectors import bijector

    # TensorFlow keeps the gradient of every traced `tf.custom_gradient`, and its graph, for ever.
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    # TFP's cache of bijectors keys a draw weakly, but its value, a tensor of a layer, holds that
    # draw and the model: a full-covariance posterior whose log q was computed would stay for ever.
    vars(bijector.Bijector)["_cache"].clear()
    gc.collect()
    if RETURN_MEMORY is not None:
        RETURN_MEMORY(0)


@pytest.fixture
def mnist_dir():
    return str(TFDS)


@pytest.fixture
def smiles():
    return str(REAL["smiles"])


@pytest.fixture
def cifar10():
    return str(REAL["cifar10"])


@pytest.fixture(scope="session")
def grey_images():
    """130 random images [130, 8, 9, 1], float32 in [0, 1]."""
    return np.random.default_rng(0).random((130, 8, 9, 1)).astype(np.float32)


@pytest.fixture(scope="session")
def trained(grey_images, tmp_path_factory):
    """A small Keras model after a short training, and the same as loaded from its export."""
    from helpers.models import small_vae  # which imports TensorFlow Probability

    vae = small_vae()
    vae.fit(grey_images, epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("trained")
    tfp_vae.export(vae, path)
    return vae, tfp_vae.load(path)


@pytest.fixture(scope="session")
def model(trained):
    return trained[1]


@pytest.fixture(scope="session")
def clean_environment():
    """The environment of a command that is run as a user would: no TensorFlow settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TF_")}


@pytest.fixture
def pixels():
    """Five random grey images [5, 8, 9, 1], uint8."""
    return np.random.default_rng(0).integers(0, 256, (5, 8, 9, 1)).astype(np.uint8)


@pytest.fixture
def five_files(pixels, tmp_path, monkeypatch):
    """The same five images in every form, in the current folder."""
    from tfp_vae.images import array_sources

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
