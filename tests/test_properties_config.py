"""Whatever the flags, or the `config.json`, are: either settings, or one line that names one."""

import contextlib
import io
import json
import os
from typing import Annotated

import hypothesis
import pytest
from helpers.fuzz import damaged, outcome
from hypothesis import strategies as st

from tfp_vae.cli.app import run
from tfp_vae.errors import InputError
from training import config_json
from training.config import FLAGS, Config
from training.run import folder as runs

FIELDS = list(Config.model_fields)
FLAG_NAMES = [f"--{name.replace('_', '-')}" for name in FIELDS]
TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        *("", " ", "-", "--", "nan", "inf", "-inf", "1e999", "-1e-999", "0", "-0", "1", "true"),
        *("None", "null", "1_000", "0x10", "1e3", "٣", "1" * 5000, "a" * 300, "..", "../x"),
        *("/", "a/../..", ".incomplete", "\udcff", "a\nb", "\x1b[2J", "x.npz", "C:\\x", "~"),
    ]
)
# What a shell can pass on: no NUL, and bytes that are no UTF-8 as lone surrogates.
WORDS = TEXTS.filter(lambda text: "\0" not in text and _encodes(text))
CONFIGS = [
    Config(),
    Config(dataset="x.npz", image_size=16, hidden_units=(), name="a", beta=2),
    Config(likelihood="independent_normal", likelihood_scale=0.5, data_dir="d", resume=True),
]


def _encodes(text):
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


DATA = {"fingerprint": "5a", "splits": {"train": [3, 8, 8, 1]}}


def written(config):
    values = {**config.model_dump(mode="json"), "versions": {"numpy": "2"}, "data": DATA}
    return json.dumps(values).encode()


def parsed(text):
    """The settings in the content of a file."""
    return Config(**config_json.parse(text).model_dump(include=set(FIELDS)))


def check_name(config, folder):
    """The run's folder is a child of the output folder's, whatever the data set is called."""
    found = runs.find(config.model_copy(update={"output_dir": str(folder), "resume": False}))
    assert found.final.resolve().parent.parent == folder.resolve()
    assert found.path.resolve().parent.parent == folder.resolve()


@pytest.mark.parametrize("config", CONFIGS)
def test_settings_come_back_from_their_file(config, tmp_path):
    (tmp_path / "config.json").write_bytes(written(config))
    assert Config.from_json(tmp_path / "config.json") == config


@hypothesis.given(
    argv=st.lists(st.sampled_from(FLAG_NAMES) | WORDS, max_size=4)
    | st.tuples(st.sampled_from(FLAG_NAMES), WORDS)
)
def test_any_flags_are_settings_or_one_line(argv, tmp_path_factory):
    configs, printed, errors = [], io.StringIO(), io.StringIO()

    def command(*, config: Annotated[Config, FLAGS] = Config()):
        configs.append(config)

    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        status = run(command, "test", list(argv))
    error = errors.getvalue()
    if status == 2:
        assert not configs and error.count("\n") == 1 and error[:-1].isprintable(), error
        return
    assert (status, error) == (0, "")
    for config in configs:  # none after --help
        check_name(config, tmp_path_factory.getbasetemp())
        assert parsed(written(config)) == config


@hypothesis.given(content=damaged([written(config) for config in CONFIGS]) | st.binary())
def test_a_damaged_file_is_settings_or_one_line(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_bytes(content)
    config = outcome(Config.from_json, path, refusal=InputError)
    assert config is None or parsed(written(config)) == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@hypothesis.given(
    values=st.dictionaries(st.sampled_from([*FIELDS, "versions", "data"]) | TEXTS, JSON, max_size=2)
    | JSON
)
def test_any_json_is_settings_or_one_line(values, tmp_path_factory):
    config = outcome(parsed, json.dumps(values), refusal=InputError)
    if config is not None:
        for name, value in values.items():
            assert name in ("versions", "data") or json.loads(written(config))[name] == value
        check_name(config, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epochs": 3.0}', "epochs 3.0: input should be a valid integer"),
        ('{"epochs": true}', "epochs True: input should be a valid integer"),
        ('{"epochs": "3"}', "epochs 3: input should be a valid integer"),
        ('{"epochs": 0}', "epochs 0: input should be greater than or equal to 1"),
        ('{"epochs": 1, "epochs": 2}', "epochs: given twice"),
        ('{"versions": {"a": "1", "a": "2"}}', "a: given twice"),
        ('{"versions": {"a": 1}}', "versions 1: input should be a valid string"),
        ('{"data": {"fingerprint": "x"}}', "data {.*}: field required"),
        ('{"epoch": 1}', "epoch: expected one of network, .*versions, data"),
        ('{"beta": NaN}', "beta nan: input should be a finite number"),
        ('{"beta": -Infinity}', "beta -inf: input should be a finite number"),
        ('{"beta": 1e999}', "beta inf: input should be a finite number"),
        ('{"beta": "1"}', "beta 1: input should be a valid number"),
        ('{"mixed_precision": 1}', "mixed_precision 1: input should be a valid boolean"),
        ('{"hidden_units": [1, "2"]}', "hidden_units 2: input should be a valid integer"),
        ('{"hidden_units": 20}', "hidden_units 20: input should be a valid array"),
        (
            '{"likelihood_scale": "wide"}',
            "likelihood_scale wide: input should be 'shared' or 'per_pixel'",
        ),
        (
            '{"network": "conv", "hidden_units": [9]}',
            r"hidden_units 9: only for network dense, not conv",
        ),
        ('{"dataset": "a\\u0000b"}', r"dataset a\\x00b: expected a path"),
        ('{"dataset": "\\ud800"}', "Invalid JSON"),
        ('{"output_dir": null}', "output_dir None: input should be a valid string"),
        ('{"name": ".."}', "name ..: expected at most 100 letters"),
        ("[]", "Input should be an object"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"epochs": ' + "1" * 5000 + "}", "not JSON"),
        ('{"name": "' + "a" * 2_000_000 + '"}', "more than 1000000 bytes"),
    ],
    ids=lambda value: value[:30],
)
def test_what_a_file_may_not_say(text, message, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"config.json: {message}"):
        Config.from_json(path)


def test_a_file_of_version_0_1_0_is_read(tmp_path):
    path = tmp_path / "config.json"
    settings = {"network": "conv", "hidden_units": [200, 200], "kl": "exact", "beta": 1}
    path.write_text(json.dumps({**settings, "versions": {"tfp-vae": "0.1.0"}}))
    assert Config.from_json(path) == Config(network="conv", kl="exact")
    assert config_json.read(path).data is None


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(InputError, match=str(tmp_path)):
            Config.from_json(tmp_path / name)
