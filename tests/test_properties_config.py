"""Whatever the flags, or the `config.json`, are: either settings, or one line that names one."""

import contextlib
import dataclasses
import io
import json
import os
import typing
from typing import Annotated

import hypothesis
import pytest
from fuzz import damaged, outcome
from hypothesis import strategies as st

from training import config_json, runs
from training.config import FLAGS, Config, InputError, run_command

HINTS = typing.get_type_hints(Config)
FLAG_NAMES = [f"--{name.replace('_', '-')}" for name in HINTS]
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


def written(config):
    return json.dumps({**dataclasses.asdict(config), "versions": {"numpy": "2"}}).encode()


def check_name(config, folder):
    """The run's folder is a child of the output folder's, whatever the data set is called."""
    run = runs.find(dataclasses.replace(config, output_dir=str(folder), resume=False))
    assert run.final.resolve().parent.parent == folder.resolve()
    assert run.path.resolve().parent.parent == folder.resolve()


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

    def command(config: Annotated[Config, FLAGS] = Config()):
        configs.append(config)

    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        status = run_command(command, "test", list(argv))
    error = errors.getvalue()
    if status == 2:
        assert not configs and error.count("\n") == 1 and error[:-1].isprintable(), error
        return
    assert (status, error) == (0, "")
    for config in configs:  # none after --help
        check_name(config, tmp_path_factory.getbasetemp())
        assert config_json.parse(written(config)) == config


@hypothesis.given(content=damaged([written(config) for config in CONFIGS]) | st.binary())
def test_a_damaged_file_is_settings_or_one_line(content, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.json"
    path.write_bytes(content)
    config = outcome(Config.from_json, path, refusal=InputError)
    assert config is None or config_json.parse(written(config)) == config


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@hypothesis.given(
    values=st.dictionaries(st.sampled_from([*HINTS, "versions"]) | TEXTS, JSON, max_size=2) | JSON
)
def test_any_json_is_settings_or_one_line(values, tmp_path_factory):
    config = outcome(config_json.parse, json.dumps(values), refusal=InputError)
    if config is not None:
        for name, value in values.items():
            assert name == "versions" or json.loads(written(config))[name] == value
        check_name(config, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"epochs": 3.0}', "epochs 3.0: expected integer"),
        ('{"epochs": true}', "epochs true: expected integer"),
        ('{"epochs": 0}', "--epochs 0: expected an integer >= 1"),
        ('{"epochs": 1, "epochs": 2}', "epochs: given twice"),
        ('{"versions": {"a": "1", "a": "2"}}', "a: given twice"),
        ('{"versions": {"a": 1}}', "versions: expected names and texts"),
        ('{"epoch": 1}', "epoch: expected one of dataset, "),
        ('{"beta": NaN}', "NaN: expected a finite number"),
        ('{"beta": -Infinity}', "-Infinity: expected a finite number"),
        ('{"beta": 1e999}', "1e999: expected a finite number"),
        ('{"beta": "1"}', "beta 1: expected number"),
        ('{"mixed_precision": 1}', "mixed_precision 1: expected true or false"),
        ('{"hidden_units": [1, "2"]}', "hidden_units .*: expected a list of integers"),
        ('{"hidden_units": 20}', "hidden_units 20: expected a list of integers"),
        (
            '{"likelihood_scale": "wide"}',
            "likelihood_scale wide: expected shared, per_pixel or num",
        ),
        ('{"dataset": "a\\u0000b"}', "--dataset"),
        ('{"dataset": "\\ud800"}', "--dataset"),
        ('{"output_dir": null}', "output_dir null: expected text"),
        ('{"name": ".."}', "--name ..: expected letters"),
        ("[]", "expected an object"),
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


def test_files_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(InputError, match=str(tmp_path)):
            Config.from_json(tmp_path / name)
