import subprocess
import sys
from typing import Annotated, get_args

import pydantic
import pytest

from tfp_vae.cli.app import run
from tfp_vae.models import PARTS
from training.config import FLAGS, Config

GROUPS = ("Data", "Model", "Objective", "Training", "Run")


@pytest.mark.parametrize("kind", PARTS)
def test_the_flags_are_the_parts_and_options_that_there_are(kind):
    registry, fields = PARTS[kind], Config.model_fields
    auto = ("auto",) if registry.auto else ()
    assert get_args(fields[kind].annotation) == (*auto, *registry)
    default = "auto" if registry.auto else registry.default
    assert (fields[kind].default, fields[kind].description) == (default, registry.help)
    for name, option in registry.options.items():
        default = "auto" if option.auto else option.default
        assert (fields[name].default, fields[name].description) == (default, option.help)


def parsed(*argv):
    configs = []

    def command(*, config: Annotated[Config, FLAGS] = Config()):
        configs.append(config)

    assert run(command, "test", argv) == 0
    return configs[0]


def test_flags_become_settings():
    assert parsed() == Config()
    config = parsed(
        *("--hidden-units", "300", "20", "--mixed-precision", "--image-size", "16"),
        *("--likelihood", "independent_normal", "--likelihood-scale", "0.5"),
        *("--name", "a.b-c_1", "--learning-rate", "1e-4", "--kl", "monte_carlo"),
    )
    assert (config.hidden_units, config.likelihood_scale) == ((300, 20), 0.5)
    assert (config.mixed_precision, config.image_size, config.name) == (True, 16, "a.b-c_1")
    assert (config.learning_rate, config.kl) == (1e-4, "monte_carlo")
    assert parsed("--hidden-units", "--seed", "3").hidden_units == ()


def test_build_vae_is_given_the_options_of_the_chosen_parts():
    own = {"num_samples": 1, "free_bits": 0.0}  # of the objective
    assert Config().part_options == own  # network and likelihood are not chosen yet
    dense = Config(network="dense", likelihood="independent_bernoulli")
    network = {"activation": "silu", "dropout": "auto"}
    assert dense.part_options == {"hidden_units": (200, 200), **network, **own}
    options = {"likelihood_scale": 2, "dropout": 0.25}
    normal = Config(likelihood="independent_normal", network="conv", **options)
    assert normal.part_options == {"filters": (), **network, **options, **own}


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        *(("mnist", "mnist"), ("../some/photos/", "photos"), ("a b.npz", "a-b")),
        *(("x:1.0", "x-1.0"), ("x.incomplete", "x-incomplete"), ("X.NPZ", "X")),
    ],
)
def test_a_run_is_named_after_its_data(dataset, name):
    assert Config(dataset=dataset).run_name == name
    assert Config(dataset=dataset, name="mine").run_name == "mine"


def test_bad_settings_are_refused_in_python_too():
    with pytest.raises(pydantic.ValidationError, match="epochs\n  Input should be greater than"):
        Config(epochs=0)
    with pytest.raises(pydantic.ValidationError, match="only for network dense, not conv"):
        Config(network="conv", hidden_units=(9,))
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Config().epochs = 3


@pytest.mark.parametrize("module", ["training.fit"])
def test_help_does_not_wait_for_tensorflow(module):
    code = f"""
import runpy, sys
sys.argv = ["{module}", "--help"]
try:
    runpy.run_module("{module}", run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0, stop.code
assert "tensorflow" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "--kl-warmup-epochs" in result.stdout
    places = [result.stdout.index(f"─ {group} ─") for group in GROUPS]
    assert places == sorted(places) and result.stdout.index("--prior") > places[1]


@pytest.mark.parametrize("dataset", ["my  photos", "-x", "--seed", "a'b"])
def test_the_words_of_a_command_give_the_settings_again(dataset):
    given = []

    def fit(*, config: Annotated[Config, FLAGS] = Config()):
        given.append(config)

    config = Config(dataset=dataset, epochs=3)
    assert run(fit, "training.fit", config.flags()) == 0
    assert given == [config]
