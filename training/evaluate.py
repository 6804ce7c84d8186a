"""`python -m training.evaluate`: how good a finished run is on its test images."""

import dataclasses
import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.cli.app import run as run_command
from tfp_vae.errors import InputError
from tfp_vae.whole_files import replacing
from training import config_json
from training.config import KL_NAMES, Config

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from tfp_vae.evaluation.figures import Evaluation
    from training.data.splits import Splits

READ_BATCH = 500  # images
MAX_NAMED_CLASSES = 10  # that the figure names: Matplotlib's colours for classes are ten


def evaluate(
    run: cli.Run,
    /,
    *,
    num_samples: Annotated[cli.Count, Parameter(help="Draws for log p(x), K.")] = 500,
    limit: Annotated[
        cli.Count | None, Parameter(help="Use the first LIMIT test images; all by default.")
    ] = None,
    seed: Annotated[
        cli.Seed, Parameter(help="Seed of the draws; the images do not depend on it.")
    ] = 0,
    data_dir: Annotated[
        str | None, Parameter(help="Where TFDS keeps its data, if not as in training.")
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Folder for evaluation.json and evaluation.png; the run's by default."),
    ] = None,
) -> None:
    """Evaluate a run on its test images: print a table, write evaluation.json and .png."""
    started = time.monotonic()
    # These import TensorFlow, which takes seconds that --help and a mistyped flag do not need.
    import tfp_vae
    from tfp_vae.saved_model import load as saved_model
    from training import yardstick
    from training.data import fingerprint
    from training.data import splits as data
    from training.run import loop

    loop.silence()
    folder = saved_model.find(run)
    model = tfp_vae.load(folder)
    files = [(out or folder) / f"evaluation.{kind}" for kind in ("json", "png")]
    for file in files:
        cli.check_writable(file)
    config = _config(folder, data_dir)
    splits = data.load(config)
    if splits.test.shape != model.image_shape:
        raise InputError(
            f"--dataset {config.dataset}: images of {splits.test.shape} now: "
            f"expected {model.image_shape}, as {folder} has"
        )
    # With other images the splits are others too: it would test on images it was trained on.
    difference = config_json.read(folder / "config.json").difference(fingerprint.of(splits))
    if difference:
        raise InputError(
            f"--dataset {config.dataset}: {difference}: expected the images of {folder}"
        )
    images = _images(splits, limit, config.seed)
    labels = splits.test.labels()[: len(images)] if splits.test.labels else None
    found = tfp_vae.evaluate(model, images, num_samples=num_samples, seed=seed)
    ppca = None
    if yardstick.applies(model.description):
        ppca = yardstick.score(splits.train, [images], model.latent_size)
    values = {
        "run": str(folder),
        "dataset": config.dataset,
        **_json(found),
        "ppca": ppca and ppca._asdict(),
        "seconds": time.monotonic() - started,
        "config": saved_model.read_json(folder, "config.json"),
    }
    figure = _draw(found, labels, splits.test.label_names)
    with warnings.catch_warnings():  # of characters of a label that the font does not have
        warnings.filterwarnings("ignore", message="Glyph")
        with replacing(files[1], "wb") as file:
            figure.savefig(file, format="png", dpi=120)
    with replacing(files[0], "w") as file:
        file.write(json.dumps(values, indent=2) + "\n")
    print(one_line(f"{folder}: {len(images)} test images of {config.dataset}"))
    print(table(found, model.description.kl))
    if ppca is not None:
        fitted = f"{ppca.latents} latents, fitted to {ppca.images:,} training images"
        print(f"{'probabilistic PCA: log p(x)':44}{ppca.log_likelihood:12.4f} nats ({fitted})")
    print(f"{values['seconds']:.0f} s; {files[0]}, {files[1].name}")


def _config(folder: Path, data_dir: str | None) -> Config:
    """The `Config` that a run was made with."""
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder}: no config.json: expected a run of training.fit")
    config = Config.from_json(path)
    return config if data_dir is None else Config(**{**config.model_dump(), "data_dir": data_dir})


def _images(splits: "Splits", limit: int | None, seed: int) -> "np.ndarray":
    """The first `limit` test images, as fit evaluates them: float32 [N, H, W, C]."""
    import numpy as np

    count = min(limit or splits.test.count, splits.test.count)
    batches = splits.evaluation_batches("test", READ_BATCH, seed)
    images = np.empty([count, *splits.test.shape], np.float32)
    for start, batch in zip(range(0, count, READ_BATCH), batches.as_numpy_iterator()):  # noqa: B905
        images[start : start + READ_BATCH] = batch[: count - start]
    return images


def _json(found: "Evaluation") -> dict[str, Any]:
    """The numbers of an `Evaluation`; a mean over images is {value, standard_error}."""
    values = {}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if hasattr(value, "_asdict"):  # JSON has no nan: the error of one image is null
            value = {k: None if math.isnan(v) else v for k, v in value._asdict().items()}
        if isinstance(value, float) and math.isnan(value):
            value = None
        values[field.name] = value.tolist() if hasattr(value, "tolist") else value
    del values["latent_means"]  # data, not figures: `python -m tfp_vae encode` writes them
    return values


def table(found: "Evaluation", kl: str) -> str:
    """The figures of an `Evaluation` as aligned lines, each with its unit and its error.

    Args:
      found: what `tfp_vae.evaluate` returned. Figures in `refused` are listed with the reason.
      kl: the form of the KL, `Description.kl`.
    """
    import numpy as np

    from tfp_vae.evaluation.codes import perplexity
    from tfp_vae.evaluation.figures import ACTIVE_VARIANCE

    k, n = found.num_samples, found.num_images
    bits_of = "of the ELBO" if found.log_marginal_likelihood is None else f"K = {k}"
    means = [
        ("ELBO = - reconstruction_nll - kl", found.elbo, "nats"),
        ("  reconstruction_nll", found.reconstruction_nll, "nats"),
        (f"  {KL_NAMES[kl]}", found.kl, "nats"),
        (f"log p(x), importance-weighted, K = {k}", found.log_marginal_likelihood, "nats"),
        (f"  bits per dimension, {bits_of}", found.bits_per_dimension, "bits"),
        ("kl at the draws = the two below", found.monte_carlo_kl, "nats"),
        (f"  mutual information, q(z) of {n} images", found.mutual_information, "nats"),
        ("  marginal KL of q(z) from p(z)", found.marginal_kl, "nats"),
    ]
    lines = [f"{'mean over the images':44}{'':12}      standard error (over images)"]
    lines += [
        f"{name:44}{mean.value:12.4f} {unit} +- {mean.standard_error:.4f}"
        for name, mean, unit in means
        if mean is not None
    ]
    if found.monte_carlo_error is not None and k > 1:
        error = found.monte_carlo_error
        lines.append(f"{'Monte Carlo standard error of log p(x)':44}{error:12.4f} nats")
    if found.mean_variance is not None:
        name = f"active units, variance of the mean > {ACTIVE_VARIANCE}"
        lines.append(f"{name:44}{found.active_units:12} of {len(found.mean_variance)}")
    for counts in () if found.code_counts is None else found.code_counts:
        used = f"{np.count_nonzero(counts):12} of {len(counts)}"
        lines.append(f"{'codes that occur':44}{used}, perplexity {perplexity(counts):.1f}")
    if found.kl_per_dimension is not None:
        kind = "marginals only: correlations not counted" if found.full_covariance else "exact"
        lines.append(f"KL of each dimension, largest first, nats ({kind}):")
        largest = sorted(found.kl_per_dimension, reverse=True)
        rows = [largest[start : start + 8] for start in range(0, len(largest), 8)]
        lines += ["".join(f"{value:10.4f}" for value in row) for row in rows]
    for reason in dict.fromkeys(found.refused.values()):
        names = [name for name, why in found.refused.items() if why == reason]
        lines.append(f"no {', '.join(names)}: {reason}")
    return "\n".join(lines)


def _draw(
    found: "Evaluation", labels: "np.ndarray | None", names: Sequence[str] | None = None
) -> "Figure":
    """The KL of each latent or the use of the codes, and the latents in two main directions.

    Args:
      found: what `tfp_vae.evaluate` returned of N images.
      labels: integers [N], which colour the means.
      names: of the classes 0, 1, ...; shown where they are at most `MAX_NAMED_CLASSES`.
    """
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    from training.figure import draw_codes, draw_latents

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    if found.mean_variance is not None:
        draw_latents(left, found)
    elif found.code_counts is not None:
        draw_codes(left, found.code_counts)

    points = np.zeros([found.num_images, 2])
    if found.num_images > 1:
        axes = min(2, *found.latent_means.shape)
        with np.errstate(invalid="ignore"):  # equal means: shares of no variance
            points[:, :axes] = PCA(axes, random_state=0).fit_transform(found.latent_means)
    right.set(xlabel="first principal component", ylabel="second")
    right.set_title(f"means of q(z|x), {found.num_images} images")
    if labels is None:
        right.scatter(*points.T, s=4)
    elif names and len(names) <= MAX_NAMED_CLASSES:
        colours = ListedColormap(colormaps["tab10"].colors[: len(names)])
        ends = {"vmin": -0.5, "vmax": len(names) - 0.5}
        shown = right.scatter(
            *points.T, s=4, c=labels, cmap=colours.with_extremes(under="0.75"), **ends
        )
        texts = [one_line(name) for name in names]
        figure.colorbar(shown, ax=right).set_ticks(
            range(len(names)), labels=texts, parse_math=False
        )
    else:
        classes = len(np.unique(labels))
        colours = "tab10" if classes <= 10 else "viridis"
        shown = right.scatter(*points.T, s=4, c=labels, cmap=colours)
        figure.colorbar(shown, ax=right, label="label")
    return figure


if __name__ == "__main__":
    sys.exit(run_command(evaluate, "training.evaluate"))
