"""The card of a run: `README.md` in its folder, for whoever finds the folder alone."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfp_vae import __version__
from tfp_vae.cli.app import one_line
from tfp_vae.saved_model.contract import Description
from training.config import KL_NAMES, Config
from training.config_json import DataSet
from training.run.folder import FITTED_PRIOR, MAY_CHANGE, Run

NAME = "README.md"
PICTURES = {
    "samples": "Samples: the means of p(x|z) at draws from p(z)",
    "reconstructions": "Images of the validation split, and below them their reconstructions",
    "manifold": "The two latents, at the quantiles of p(z)",
    "features": "What each unit of the code adds to an image",
}
LOADING = """\
## Load it

Each block runs in this folder. Images are float32 [N, {height}, {width}, {channels}] in [0, 1].

With tfp_vae (from a shell, `tfp-vae info .` says what it is):

```python
import numpy as np
import tfp_vae

model = tfp_vae.load(".")
drawn = model.sample(16, seed=0)  # [16, {height}, {width}, {channels}]
latents = model.encode(np.zeros([1, {height}, {width}, {channels}]))  # [1, {latents}], {encoded}
```

With TensorFlow alone (`assets/tfp_vae.json` describes the functions):

```python
import tensorflow as tf

model = tf.saved_model.load(".")
found = model.signatures["encode"](image=tf.zeros([1, {height}, {width}, {channels}]))
decoded = model.signatures["decode"](latent=found["{output}"])["mean"]
```

With Keras 3, as a layer:

```python
import keras
import numpy as np

encode = keras.layers.TFSMLayer(".", call_endpoint="encode")
latents = encode(np.zeros([1, {height}, {width}, {channels}], np.float32))["{output}"]
```

With tf_keras, to train it further (its optimizer is in the file, with the learning rate that the
run started with):

```python
import tf_keras
import tfp_vae  # registers the classes of the layers

vae = tf_keras.models.load_model("model.keras")
```

The folder above this one has the layout that TensorFlow Serving expects of `--model_base_path`.
"""
LICENCE = """\
## Licence

None is given: whoever publishes this model names here that of the weights, and that of the images.
"""


def write(
    run: Run, config: Config, data: DataSet, metrics: dict[str, Any], description: Description
) -> None:
    """Writes the card, when all other files of the run are written.

    The text is a function of those files and of the run's name and version.

    Args:
      run: its folder.
      config: the settings; none is `auto`.
      data: the images.
      metrics: as `summary.measured` returns them.
      description: of the SavedModel.
    """
    parts = (
        _what(run, config, data, metrics, description),
        _data(config, data),
        _settings(config),
        "\n".join(_figures(metrics, description)),
        "\n".join(_pictures(run.path, description)),
        _loading(data, description),
        LICENCE,
    )
    (run.path / NAME).write_text("\n".join(parts), encoding="utf-8")


def _what(
    run: Run,
    config: Config,
    data: DataSet,
    metrics: dict[str, Any],
    description: Description,
) -> str:
    kind = "A variational autoencoder" if description.has_density else "An autoencoder"
    _, height, width, channels = data.splits["train"]
    size = f"{height}x{width} {'grey' if channels == 1 else 'colour'} images"
    rows = {
        "model": description.model,
        "network": config.network,
        "latents": _latents(description),
        "quantizer" if description.has_codes else "q(z\\|x)": description.posterior,
        "p(z)": description.prior if description.has_density else "none",
        "p(x\\|z)": f"{description.likelihood}, a {description.log_likelihood}",
        "objective": config.objective,
        "corruption in training": config.corruption,
        "parameters": f"{metrics['num_parameters']:,}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"# {run.final.parent.name}, version {run.final.name}\n\n"
        f"{kind} of {size}, trained with tfp_vae {__version__}.\n\n"
        f"| part | |\n|---|---|\n{table}\n"
    )


def _latents(description: Description) -> str:
    (count,) = description.latent_shape
    if description.has_codes:
        latents = f"{count} codes, each one of {description.codebook_size}"
    else:
        latents = str(count)
    if not description.level_sizes:
        return latents
    sizes = description.level_sizes.items()
    each = ", ".join(f"{number} at level {level}" for level, number in sizes)
    return f"{latents}: {each}, from the top"


def _data(config: Config, data: DataSet) -> str:
    name = one_line(config.dataset).replace("`", "'")
    counts = ", ".join(f"{shape[0]:,} ({split})" for split, shape in data.splits.items())
    return (
        f"## Data\n\n`{name}`: {counts} images. `config.json` has a hash of them; what they show, "
        "and who may use them, is for their owner to say.\n"
    )


def _settings(config: Config) -> str:
    words = ["python", "-m", "training.fit", *config.flags(without=MAY_CHANGE)]
    return (
        f"## Settings\n\n```sh\n{one_line(shlex.join(words))}\n```\n\n"
        "What was `auto` is given as it was chosen. All settings, and the versions of the "
        "packages, are in `config.json`.\n"
    )


def _figures(metrics: dict[str, Any], description: Description) -> Iterator[str]:
    """The figures on the test images, as a table, and what they are."""
    yield "## Test figures\n"
    yield f"Of the {metrics['num_images']:,} test images; log densities and KL in nats per image:\n"
    yield "| figure | mean | standard error over the images |\n|---|---|---|"
    names = {
        "elbo": "ELBO" if description.has_density else "log p(x\\|z) at the code",
        "reconstruction_nll": "reconstruction_nll, -log p(x\\|z)",
        "kl": f"{KL_NAMES[description.kl]}, of q(z\\|x) from p(z)",
        "iwae": "iwae, the importance-weighted bound",
        "ppca_log_likelihood": "log p(x) of probabilistic PCA, to compare with the ELBO",
        "active_units": f"active latents, of {metrics['num_latents']}",
        "active_share": "share of the units that are active in an image",
        "mean_activity": "mean activity of a unit",
        "target_activity": "its target",
    }
    for name in metrics:
        if name.startswith("kl_") and name[3:].isdecimal():
            names[name] = f"{name}, that of level {name[3:]}"
        elif name.startswith("perplexity"):
            names[name] = f"{name} of the codes"
        elif name.startswith("usage"):
            names[name] = f"{name}, the share of the codes that occur"
    if not description.has_density:
        del names["kl"]
    for name, text in names.items():
        if name in metrics:
            value, error = metrics[name], metrics.get(f"{name}_standard_error")
            written = str(value) if isinstance(value, int) else f"{value:.4f}"
            yield f"| {text} | {written} | {'' if error is None else f'{error:.4f}'} |"
    yield f"\n{_meaning(description)}\n"
    yield "`metrics.json` has these numbers, `history.csv` those of each epoch.\n"


def _meaning(description: Description) -> str:
    if description.log_likelihood == "density":
        likelihood = (
            "p(x|z) is a density: its nats may be positive, and compare with those of other "
            "densities of the same images only."
        )
    else:
        likelihood = "p(x|z) is a probability, and so is what the ELBO bounds."
    if not description.has_density:
        return "This autoencoder has no KL, and no bound on log p(x). " + likelihood
    if description.has_codes:
        return "All mass of q(z|x) is on the codes of x: the KL is -log p(z) there. " + likelihood
    return likelihood


def _pictures(folder: Path, description: Description) -> Iterator[str]:
    """Links to the last picture of each kind."""
    yield "## Pictures\n"
    for name, title in PICTURES.items():
        found = list((folder / name).glob("epoch-*.png"))
        if not found:
            continue
        last = max(found, key=lambda path: int(path.stem.removeprefix("epoch-")))
        fitted = folder / name / FITTED_PRIOR
        if fitted.exists():
            last = fitted
        if name == "samples" and not description.has_density:
            title = "The means of p(x|z) at draws from N(0, I), which the codes need not follow"
        yield f"{title} ({last.stem.replace('-', ' ')}):\n"
        yield f"![{name}]({name}/{last.name})\n"
    yield "The weights are those of the epoch with the best ELBO on the validation split.\n"


def _loading(data: DataSet, description: Description) -> str:
    _, height, width, channels = data.splits["train"]
    (latents,) = description.latent_shape
    output = description.outputs["encode"][0]
    return LOADING.format(
        height=height,
        width=width,
        channels=channels,
        output=output,
        latents=latents,
        encoded="codes, int32" if description.has_codes else "the means of q(z|x)",
    )
