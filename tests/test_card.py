"""The card that a run leaves: its text, its links and its code, of each family."""

import json
import re
import shlex
from typing import Annotated

import numpy as np
import pytest
from helpers.commands import command

from tfp_vae.cli.app import run as run_command
from training.config import FLAGS, Config
from training.run.folder import MAY_CHANGE

CODES = ("--network", "conv", "--filters", 4, 6, "--codebook-size", 8, "--code-size", 3)
CODES = (*CODES, "--prior-width", 8, "--prior-blocks", 1)
# The settings of a run of each family, and what its card says.
RUNS = {
    "normal": (
        ("--likelihood", "independent_normal", "--latent-size", 2, "--mirror", "--hidden-units"),
        ("A variational autoencoder of 8x8 grey images", "a density", "of probabilistic PCA"),
    ),
    "codes": (
        ("--model", "vq_vae", *CODES),
        ("4 codes, each one of 8", "quantizer | vector |", "perplexity of"),
    ),
    "codes-2": (
        ("--model", "vq_vae_2", *CODES),
        ("5 codes, each one of 8: 1 at level 2, 4 at level 1, from the top", "usage_2, the share"),
    ),
    "hierarchical": (
        ("--model", "hierarchical", "--latent-size", 3, 2),
        ("| 5: 2 at level 2, 3 at level 1, from the top |", "| kl_2, that of level 2 |"),
    ),
    "deterministic": (
        ("--posterior", "deterministic", "--sparsity", 0.1),
        ("\nAn autoencoder of", "| p(z) | none |", "no bound on log p(x)", "mean activity of a"),
    ),
}


@pytest.fixture(
    scope="module",
    params=[
        name if name == "normal" else pytest.param(name, marks=pytest.mark.slow) for name in RUNS
    ],
)
def finished(request, tmp_path_factory, clean_environment):
    """The folder of a finished run, and what its card is expected to say."""
    settings, said = RUNS[request.param]
    output = tmp_path_factory.mktemp("runs")
    argv = ("--epochs", 2, "--batch-size", 400, *settings, "--output-dir", output)
    result = command(*argv, env=clean_environment)
    assert (result.returncode, result.stderr) == (0, "")
    return output / "digits" / "1", said


def test_it_says_what_the_run_is(finished):
    folder, said = finished
    card = (folder / "README.md").read_text()
    for words in ("# digits, version 1\n", "1,437 (train), 180 (validation), 180 (test)", *said):
        assert words in card
    metrics = json.loads((folder / "metrics.json").read_text())
    value, error = metrics["elbo"], metrics["elbo_standard_error"]
    assert f" | {value:.4f} | {error:.4f} |\n" in card and 0.01 < error < 100
    assert "None" not in card.replace("None is given", "") and "nan" not in card


def test_its_pictures_are_there(finished):
    folder, _ = finished
    links = re.findall(r"!\[.*?\]\((.*?)\)", (folder / "README.md").read_text())
    assert all((folder / link).is_file() for link in links)
    kinds = [link.partition("/")[0] for link in links]
    assert kinds == [
        name
        for name in ("samples", "reconstructions", "manifold", "features")
        if (folder / name).exists()
    ]
    fitted = (folder / "prior_history.csv").exists()
    assert links[0] == f"samples/{'fitted-prior' if fitted else 'epoch-0002'}.png"


def test_its_command_gives_the_settings_of_the_run(finished):
    folder, _ = finished
    (line,) = re.findall(r"```sh\n(.*)\n```", (folder / "README.md").read_text())
    given = []

    def fit(*, config: Annotated[Config, FLAGS] = Config()):
        given.append(config)

    assert run_command(fit, "training.fit", shlex.split(line)[3:]) == 0
    places = set(MAY_CHANGE)
    saved = Config.from_json(folder / "config.json")
    assert given[0].model_dump(exclude=places) == saved.model_dump(exclude=places)


def test_its_code_runs(finished, monkeypatch):
    folder, _ = finished
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    names = [{} for _ in blocks]
    for block, found in zip(blocks, names, strict=True):
        exec(compile(block, "README.md", "exec"), found)
    ours, plain, layer, trainable = names
    assert ours["drawn"].shape == (16, 8, 8, 1)
    model = ours["model"]
    black = np.zeros([1, 8, 8, 1], np.float32)
    np.testing.assert_array_equal(ours["latents"], model.encode(black))
    np.testing.assert_allclose(layer["latents"], model.encode(black), atol=1e-6)
    np.testing.assert_allclose(plain["decoded"], model.reconstruct(black), atol=1e-6)
    np.testing.assert_allclose(
        trainable["vae"].predict(black, verbose=0), model.reconstruct(black), atol=1e-6
    )
