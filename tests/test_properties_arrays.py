"""Whatever an array file holds or claims: either images, or one line that names the file."""

import io
import os
import struct
import zipfile

import hypothesis
import numpy as np
import pytest
from helpers.fuzz import SIZES, damaged, outcome
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tfp_vae.errors import ImageError, InputError
from tfp_vae.images import arrays as image_arrays
from tfp_vae.images import convert, files
from tfp_vae.latent_space import array_files, mixture, search
from training.config import Config
from training.data import splits


def npy(array, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npz(compression=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def header(text, version=(1, 0)):
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode("latin1")


GREY = (np.random.default_rng(0).random((6, 8, 8)) * 255).astype(np.uint8)
NPYS = [npy(GREY), npy(GREY / 255.0), npy(np.asfortranarray(GREY)), npy(GREY.astype(">f4") / 255)]
NPZS = [
    npz(**{"train.npy": npy(GREY), "test.npy": npy(GREY[:2])}),
    npz(zipfile.ZIP_DEFLATED, **{"train.npy": npy(GREY)}),
]
DEFLATED_AT_MOST = 1032  # bytes that zlib can make of one
ARRAYS = npst.arrays(
    npst.scalar_dtypes() | npst.array_dtypes() | npst.byte_string_dtypes(),
    npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9),
)


def size_of(arrays):
    return sum(array.nbytes for array in arrays.values())


def read(path, content):
    path.write_bytes(content)
    arrays = outcome(image_arrays.read_arrays, path, refusal=ImageError)
    for name, array in (arrays or {}).items():
        assert isinstance(array, np.ndarray) and not array.dtype.hasobject
        checked = outcome(convert.checked, array, name, refusal=ImageError)
        if checked is not None:
            assert checked.dtype in (np.uint8, np.float32) and checked.ndim == 4
            assert checked.min() >= 0 and np.isfinite(checked.max())
    return arrays


@pytest.mark.parametrize("samples", [NPYS, NPZS], ids=["npy", "npz"])
@hypothesis.given(data=st.data())
def test_a_damaged_file_is_arrays_or_one_line(samples, data, tmp_path_factory):
    content = data.draw(damaged(samples))
    arrays = read(tmp_path_factory.getbasetemp() / "damaged.npz", content)
    assert arrays is None or size_of(arrays) <= DEFLATED_AT_MOST * len(content)


@hypothesis.given(array=ARRAYS)
@hypothesis.settings(max_examples=hypothesis.settings.default.max_examples // 2)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_any_array_is_images_or_one_line(array, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.npy"
    arrays = read(path, npy(array))
    if arrays is not None:  # numpy refuses to write what it cannot read
        assert arrays["train"].dtype == array.dtype
    with np.errstate(all="ignore"):
        outcome(convert.checked, array, "x", refusal=ImageError)


@hypothesis.given(
    shape=st.lists(st.sampled_from([*SIZES, -1, 2**62, 10**30]) | st.integers(-9, 9), max_size=5),
    dtype=st.sampled_from(["<f4", "|u1", ">f8", "|O", "|V8", "<U9", "<M8[s]", "|S0", "x", "<f99"]),
    order=st.sampled_from(["True", "False", "1", "None"]),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]),
    inside=st.booleans(),
)
def test_a_claimed_shape_is_not_believed(shape, dtype, order, version, inside, tmp_path_factory):
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {tuple(shape)}}}\n"
    content = header(text, version) + b"\1" * 64
    path = tmp_path_factory.getbasetemp() / "claims.npz"
    arrays = read(path, npz(**{"train.npy": content}) if inside else content)
    assert arrays is None or size_of(arrays) <= 64


@hypothesis.given(
    members=st.dictionaries(
        st.sampled_from(["train", "train.npy", "../up.npy", "/etc/x.npy", "é.npy", "a"]),
        st.sampled_from([npy(GREY), npy(np.float32(1)), b"", b"text", npy(GREY)[:200]]),
    ),
    compression=st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
)
def test_odd_members_are_arrays_or_one_line(members, compression, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "odd"
    folder.mkdir(exist_ok=True)
    read(folder / "odd.npz", npz(compression, **members))
    assert os.listdir(folder) == ["odd.npz"]  # nothing is extracted


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=hypothesis.settings.default.max_examples // 4)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_any_arrays_are_splits_or_one_line(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "splits.npz"
    images_like = npst.arrays(
        st.sampled_from([np.uint8, np.float32, np.float16, ">f8"]),
        st.tuples(st.integers(0, 5), st.integers(6, 9), st.integers(8, 9)),
        elements={"min_value": 0, "max_value": 1},
        fill=st.just(0),
    )
    names = st.sampled_from(["train", "validation", "test", "other"])
    arrays = data.draw(st.dictionaries(names, images_like | ARRAYS, max_size=4))
    path.write_bytes(npz(**{f"{name}.npy": npy(array) for name, array in arrays.items()}))
    config = Config(dataset=str(path), batch_size=1)
    found = outcome(splits.load, config, refusal=InputError)
    if found is not None:
        assert min(found.train.count, found.validation.count, found.test.count) >= 1


@pytest.mark.parametrize("axes", [mixture.AXES, search.SYMMETRIC_KL_AXES], ids=["mixture", "index"])
@hypothesis.given(data=st.data())
def test_a_damaged_index_or_mixture_is_arrays_or_one_line(axes, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "own.npz"
    lengths = dict.fromkeys("NKD", 2)
    plain = {name: np.ones([lengths[axis] for axis in axes[name]], np.float32) for name in axes}
    array_files.write(path, plain, fingerprint="a model")
    path.write_bytes(data.draw(damaged([path.read_bytes()])))
    arrays = outcome(array_files.read, path, axes, fingerprint="a model", refusal=InputError)
    dimensions = {name: len(letters) for name, letters in axes.items()}
    assert arrays is None or {name: array.ndim for name, array in arrays.items()} == dimensions


@pytest.mark.parametrize("inside", [False, True], ids=["npy", "npz"])
def test_what_is_not_there_is_not_allocated(inside, tmp_path, monkeypatch):
    content = (
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (100, 8, 8)}\n") + b"\1" * 64
    )
    (tmp_path / "a.npz").write_bytes(npz(**{"train.npy": content}) if inside else content)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(ImageError, match="64 bytes of data, 6400 expected for shape"):
        image_arrays.read_arrays(tmp_path / "a.npz")


def test_a_bomb_is_refused_by_what_it_declares(tmp_path, monkeypatch):
    path = tmp_path / "bomb.npz"
    path.write_bytes(npz(zipfile.ZIP_DEFLATED, **{"train.npy": npy(np.zeros(10**7, np.uint8))}))
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(image_arrays, "MAX_ARRAY_BYTES", 10**6)
    with pytest.raises(ImageError, match=r"bomb\.npz: .* expected at most 1000000"):
        image_arrays.read_arrays(path)
    monkeypatch.undo()
    monkeypatch.setattr(image_arrays, "free_memory", lambda: 10**6)
    with pytest.raises(ImageError, match=r"bomb\.npz: .* expected at most 1000000"):
        image_arrays.read_arrays(path)


def test_objects_are_never_unpickled(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    objects = npy(np.array([Payload()], dtype=object), allow_pickle=True)
    (tmp_path / "executed").unlink(missing_ok=True)
    (tmp_path / "a.npy").write_bytes(objects)
    (tmp_path / "a.npz").write_bytes(npz(**{"train.npy": objects}))
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.raises(ImageError, match="pickled"):
            image_arrays.read_arrays(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["pipe.npz", "pipe.png"])
def test_a_pipe_is_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    read_it = image_arrays.read_arrays if name.endswith("npz") else files.file_shape
    with pytest.raises(ImageError, match="it is no file"):
        read_it(tmp_path / name)
