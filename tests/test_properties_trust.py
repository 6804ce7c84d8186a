"""What data and runs of others may not do: run code, or reach out of the folder they are given."""

import ast
from pathlib import Path

import pydantic
import pytest
import tensorflow_datasets as tfds

import tfp_vae
import training
from tfp_vae.errors import ImageError, InputError
from training.config import Config
from training.data import sources
from training.run import folder

PACKAGES = [Path(package.__file__).parent for package in (tfp_vae, training)]
SOURCES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]
# What runs code from a file, or writes where an archive says.
MODULES = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "tarfile", "yaml"}
CALLS = {"eval", "exec", "extract", "extractall", "unpack_archive", "enable_unsafe_deserialization"}
UNSAFE = {"allow_pickle": True, "safe_mode": False}


def risks(code):
    """What in some Python code may not be there."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            # np.load without a word is safe in NumPy, and says so by the word.
            numpys = name == "load" and getattr(getattr(node.func, "value", 0), "id", "") == "np"
            given = {word.arg: getattr(word.value, "value", "not plain") for word in node.keywords}
            unsafe = [k for k, bad in UNSAFE.items() if k in given and given[k] is not (not bad)]
            if name in CALLS or unsafe or (numpys and "allow_pickle" not in given):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_code_is_loaded_and_nothing_extracted(path):
    assert list(risks(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle", "from joblib import load", "np.load(p)", "np.load(p, allow_pickle=x)"),
        *("load_model(p, safe_mode=False)", "archive.extractall()", "eval(text)"),
    ],
)
def test_what_would_be_found(code):
    assert list(risks(code))


@pytest.mark.parametrize(
    "name",
    [
        *("huggingface:mnist", "someone:mnist", "kaggle:x/y:1.0.0", "mnist/data_dir=/etc"),
        *("mnist/a=1,b=2", "../mnist", "mnist:1.0.*", "gs://bucket/mnist", "mnist\n", "mnist:9"),
    ],
)
def test_no_data_set_of_a_stranger_is_fetched(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where there is no folder of that name
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: pytest.fail("TFDS was asked"))
    with pytest.raises(ImageError, match="no name of a TFDS data set"):
        sources.read(Config(dataset=name))


@pytest.mark.parametrize("name", ["mnist", "mnist:3.0.1", "xyz/some-config.a+b:1.0.0"])
def test_a_data_set_of_tfds_is_asked_for(name, monkeypatch):
    def builder(given, data_dir=None):
        assert given == name
        raise ValueError("asked")

    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(ImageError, match="asked"):
        sources.read(Config(dataset=name))


def test_restart_does_not_delete_through_a_link(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "1.incomplete").symlink_to(tmp_path / "precious")
    config = Config(name="a", output_dir=str(tmp_path / "runs"), restart=True)
    with pytest.raises(InputError, match="symbolic link"):
        folder.created(folder.find(config), config).__enter__()
    assert (tmp_path / "precious" / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "/a", "a\\b", "-a", ".a", "a\n", "a\0", "é", "~"]
)
def test_a_name_is_one_plain_folder(name):
    with pytest.raises(pydantic.ValidationError, match="name"):
        Config(name=name)
