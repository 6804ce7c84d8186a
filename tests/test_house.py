"""The house: imports go one way, files are short, and `import tfp_vae` is light."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tfp_vae"
MAX_LINES = 250
# From the ground up; a module imports from its own floor and those below.
FLOORS = [
    {
        *("errors", "parts", "progress", "on_import", "networks", "priors", "objectives"),
        *("divergences", "distributions", "flows", "images", "whole_files"),
    },
    {"layers"},
    {"models", "latent_space"},
    {"inference", "saved_model"},
    {"evaluation", "callbacks", "kl_warmup", "feature_grid", "explorer"},
    {"cli"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """The rooms of tfp_vae, and the packages, that a module imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, *room = node.module.split(".")
            if package == "tfp_vae":
                yield from room[:1] or [alias.name for alias in node.names]
            elif package == "training":
                yield package
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names if a.name.startswith("training"))


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_imported_from_a_floor_above(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    above = [name for name in imported(path) if FLOOR.get(name, len(FLOORS)) > FLOOR[room]]
    assert above == []


def test_every_file_is_short():
    files = [*MODULES, *(PACKAGE.parent / "training").rglob("*.py")]
    long = {str(p): n for p in files if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert len(files) > 80 and long == {}


LIGHT = """
import sys
import tfp_vae, tfp_vae.models, training.config, training.command
heavy = {"tensorflow", "tensorflow_probability", "tf_keras", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""

REGISTERED = """
import tfp_vae
{imports}
from tf_keras.saving import get_registered_object
for name in {names}:
    assert get_registered_object("tfp_vae>" + name) is not None, name
assert not any(name.startswith("training") for name in __import__("sys").modules)
"""


def run(script):
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result


def test_importing_the_package_imports_no_tensorflow():
    assert run(LIGHT).stderr == ""


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import tf_keras", marks=pytest.mark.slow),
        "import tensorflow as tf; import tensorflow_probability as tfp; import tf_keras",
        pytest.param(
            "import tensorflow_probability as tfp; tfp.distributions.Normal(0.0, 1.0); "
            "import tf_keras",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "import tensorflow_probability as tfp; tfp.layers; import tf_keras",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_saved_classes_are_found_whatever_is_imported_first(imports):
    names = (
        "VAE",
        "HierarchicalVAE",
        "HierarchicalPosterior",
        "HierarchicalKL",
        "HierarchicalPrior",
        "DenseTopDown",
        "MapTopDown",
        "Residual",
        "MultivariateNormalTriL",
        "FullCovarianceDense",
        "IndependentNormal",
        "Deterministic",
        "IndependentBernoulli",
        "IndependentContinuousBernoulli",
        "IndependentNormalSharedScale",
        "KLDivergenceRegularizer",
        "StandardNormal",
        "FixedPrior",
        "negative_log_likelihood",
    )
    result = run(REGISTERED.format(imports=imports, names=names))
    assert result.stderr == ""  # TensorFlow's notes are held back


@pytest.mark.parametrize("given", [None, "0"])
def test_convolutions_are_those_of_onednn_unless_the_user_says_otherwise(given):
    code = "import os, tfp_vae, tensorflow; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (result.stdout.strip(), result.stderr) == (given or "1", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["layers.posteriors", "layers.kl", "priors.standard_normal", "inference.load"]
)
def test_a_module_may_be_imported_before_any_other(module):
    script = f"import tfp_vae.{module}\n" + REGISTERED.format(imports="", names=("VAE",))
    assert run(script.replace("import tfp_vae\n", "import tfp_vae, tf_keras\n")).returncode == 0


@pytest.mark.slow
def test_classes_are_found_where_tf_keras_came_before():
    script = "import tf_keras\n" + REGISTERED.format(imports="", names=("VAE",))
    assert run(script).returncode == 0
