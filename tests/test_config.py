import subprocess
import sys
from typing import Annotated, get_args, get_type_hints

import pytest

from tfp_vae.likelihoods import LIKELIHOODS
from tfp_vae.networks import NETWORKS
from tfp_vae.posteriors import POSTERIORS
from tfp_vae.vae import KL_FORMS
from training.config import FLAGS, Config, InputError, run_command


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("network", NETWORKS),
        ("posterior", POSTERIORS),
        ("likelihood", LIKELIHOODS),
        ("kl", KL_FORMS),
    ],
)
def test_the_flags_offer_the_parts_that_there_are(field, parts):
    assert get_args(get_type_hints(Config)[field]) == tuple(parts)


def parsed(*argv):
    configs = []

    def command(config: Annotated[Config, FLAGS] = Config()):
        configs.append(config)

    assert run_command(command, "test", argv) == 0
    return configs[0]


def test_flags_become_settings():
    assert parsed() == Config()
    config = parsed(
        *("--hidden-units", "300", "20", "--mixed-precision", "--image-size", "16"),
        *("--likelihood", "independent_normal", "--likelihood-scale", "0.5"),
        *("--name", "a.b-c_1", "--learning-rate", "1e-4"),
    )
    assert (config.hidden_units, config.likelihood_scale) == ((300, 20), 0.5)
    assert (config.mixed_precision, config.image_size, config.name) == (True, 16, "a.b-c_1")
    assert config.learning_rate == 1e-4
    assert parsed("--hidden-units", "--seed", "3").hidden_units == ()


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("mnist", "mnist"), ("../some/photos/", "photos"), ("a b.npz", "a-b"), ("x:1.0", "x-1.0")],
)
def test_a_run_is_named_after_its_data(dataset, name):
    assert Config(dataset=dataset).run_name == name
    assert Config(dataset=dataset, name="mine").run_name == "mine"


def test_bad_settings_are_refused_in_python_too():
    with pytest.raises(InputError, match="--epochs 0: expected an integer >= 1"):
        Config(epochs=0)


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
