"""Which folder is a run's model, and what is said of one that cannot be used."""

import shutil

import pytest
import tensorflow as tf
from helpers.models import small_vae

import tfp_vae
from tfp_vae.saved_model import load as saved_run
from tfp_vae.saved_model.load import RunError

DATA = "variables/variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    tfp_vae.export(small_vae(), path)
    return path


@pytest.fixture
def version(exported, tmp_path):
    """A copy of a finished version, in a run of its own."""
    return shutil.copytree(exported, tmp_path / "run" / "1")


def test_a_run_is_its_newest_finished_version(version):
    run = version.parent
    for other in ("2", "10", "11.incomplete"):
        shutil.copytree(version, run / other)
    (run / "notes").mkdir()
    assert tfp_vae.load(run).path == run / "10"
    assert tfp_vae.load(str(run / "2")).path == run / "2"


def cut(name, size):
    def damage(version):
        path = version / name
        assert path.stat().st_size > size
        path.write_bytes(path.read_bytes()[:size])

    return damage


def overwrite(version):
    path = version / DATA
    path.write_bytes(bytes(200) + path.read_bytes()[200:])


def unfinished(version):
    version.rename(version.with_name("1.incomplete"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda version: (version / DATA).unlink(), r"run/1: variables/variables\.data-\* is mis"),
        (lambda version: shutil.rmtree(version / "variables"), r"run/1: variables/variables\.ind"),
        (lambda version: (version / "saved_model.pb").unlink(), r"run/1: saved_model\.pb is miss"),
        (cut("saved_model.pb", 10_000), "run/1: damaged: TensorFlow cannot load it"),
        (cut("saved_model.pb", 0), "run/1: damaged: TensorFlow cannot load it"),
        (cut(DATA, 500), "run/1: damaged: TensorFlow cannot load it"),
        (overwrite, "run/1: damaged: .*Checksum does not match"),
        (unfinished, r"run: only the unfinished 1\.incomplete: expected a version"),
        (shutil.rmtree, "run: an empty folder: expected"),
        (lambda version: shutil.rmtree(version.parent), "run: no such folder: expected a run"),
    ],
)
def test_damage_is_told_in_one_line(damage, message, version):
    damage(version)
    with pytest.raises(RunError, match=message) as raised:
        tfp_vae.load(version.parent)
    assert "\n" not in str(raised.value) and "{{" not in str(raised.value)


def test_what_is_no_run_is_told(version, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("")
    unfinished(shutil.copytree(version, tmp_path / "other" / "1"))
    for path, message in [
        ("file", "file: not a folder"),
        ("photos", "photos: another kind of folder"),
        ("other/1.incomplete", "an unfinished run"),
    ]:
        with pytest.raises(RunError, match=message):
            tfp_vae.load(tmp_path / path)


def save(path, image_name):
    """A SavedModel of something else; it has variables, and one signature of our name."""
    module = tf.Module()
    module.scale = tf.Variable(2.0)
    spec = tf.TensorSpec([None, 8, 9, 1], tf.float32, name=image_name)
    encode = tf.function(lambda x: {"mean": module.scale * x}, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures={"encode": encode})


def test_a_model_of_something_else_is_told(tmp_path, monkeypatch):
    save(tmp_path, "pixels")
    with pytest.raises(RunError, match="no signature serving_default, decode, sample") as raised:
        tfp_vae.load(tmp_path)
    assert "encode" not in str(raised.value)
    monkeypatch.setattr(saved_run, "OUTPUTS_1", {"encode": saved_run.OUTPUTS_1["encode"]})
    expected = r"encode is \(pixels\) -> mean: expected \(image\) -> mean, scale_tril, stddev"
    with pytest.raises(RunError, match=expected):
        tfp_vae.load(tmp_path)


def test_a_fingerprint_is_the_model_s(exported, version, tmp_path):
    assert tfp_vae.load(version).fingerprint == tfp_vae.load(exported).fingerprint
    vae = small_vae()
    vae.decoder.set_weights([weight + 1 for weight in vae.decoder.get_weights()])
    tfp_vae.export(vae, tmp_path / "other")
    assert tfp_vae.load(tmp_path / "other").fingerprint != tfp_vae.load(exported).fingerprint
    (version / "fingerprint.pb").unlink()
    with pytest.raises(RunError, match=r"fingerprint\.pb is missing"):
        tfp_vae.load(version).fingerprint  # noqa: B018


def test_the_json_files_of_a_run(version):
    assert saved_run.read_json(version, "metrics.json") == {}
    (version / "metrics.json").write_text('{"elbo": -1.5}')
    assert saved_run.read_json(version, "metrics.json") == {"elbo": -1.5}
    for damaged in ("{", "[]"):
        (version / "metrics.json").write_text(damaged)
        with pytest.raises(RunError, match=r"metrics\.json: damaged"):
            saved_run.read_json(version, "metrics.json")
