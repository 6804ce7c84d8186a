"""`python -m training.evaluate`: how good a finished run is on its test images, with evidence."""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from training.config import Config, InputError, Integer, run_command

Count = Annotated[Integer, Parameter(validator=Number(gte=1, lt=2**31))]
Seed = Annotated[Integer, Parameter(validator=Number(gte=0, lt=2**31))]
READ_TOGETHER = 500  # images


def evaluate(
    run: Annotated[Path, Parameter(help="A run (its newest version), or one of its versions.")],
    /,
    *,
    num_samples: Annotated[Count, Parameter(help="Draws for log p(x), K.")] = 500,
    limit: Annotated[Count | None, Parameter(help="Only the first so many test images.")] = None,
    seed: Annotated[Seed, Parameter(help="Decides the draws, not the images.")] = 0,
    data_dir: Annotated[str | None, Parameter(help="Where TFDS keeps its data now.")] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Folder for evaluation.json and evaluation.png; the run's by default."),
    ] = None,
):
    """Evaluate a run on its test images: print a table, write evaluation.json and .png."""
    started = time.monotonic()
    import tfp_vae  # TensorFlow: seconds, which --help and a mistyped flag need not wait for
    from tfp_vae import cli, saved_run
    from training import data, loop

    loop.silence()
    model = tfp_vae.load(run)
    files = [(out or model.path) / f"evaluation.{kind}" for kind in ("json", "png")]
    for file in files:
        cli.check_writable(file)
    config = _config(model.path, data_dir)
    splits = data.load(config)
    if splits.test.shape != model.image_shape:
        raise InputError(
            f"--dataset {config.dataset}: images of {splits.test.shape} now: "
            f"expected {model.image_shape}, as {model.path} has"
        )
    images = _images(splits, limit, config.seed)
    labels = splits.test.labels()[: len(images)] if splits.test.labels else None
    found = tfp_vae.evaluate(
        model, images, num_samples=num_samples, seed=seed, discrete_likelihood=splits.binarise
    )
    values = {
        "run": str(model.path),
        "dataset": config.dataset,
        **_json(found),
        "seconds": time.monotonic() - started,
        "config": saved_run.read_json(model.path, "config.json"),
    }
    figure = _draw(found, labels)
    figure.savefig(files[1], dpi=120)
    files[0].write_text(json.dumps(values, indent=2) + "\n")
    print(f"{model.path}: {len(images)} test images of {config.dataset}\n{table(found)}")
    print(f"{values['seconds']:.0f} s; {files[0]}, {files[1].name}")


def _config(folder, data_dir):
    """The `Config` that a run was made with."""
    path = folder / "config.json"
    if not path.exists():
        raise InputError(f"{folder}: no config.json: expected a run of training.fit")
    config = Config.from_json(path)
    return config if data_dir is None else dataclasses.replace(config, data_dir=data_dir)


def _images(splits, limit, seed):
    """The first `limit` test images, as fit evaluates them: float32 [N, H, W, C]."""
    import numpy as np

    count = min(limit or splits.test.count, splits.test.count)
    batches = splits.evaluation_batches("test", READ_TOGETHER, seed)
    kept = batches.take(-(-count // READ_TOGETHER)).as_numpy_iterator()
    return np.concatenate(list(kept))[:count]


def _json(found):
    """The numbers of an `Evaluation`; a mean over images is {value, standard_error}."""
    values = {}
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        if hasattr(value, "_asdict"):  # JSON has no nan: the error of one image is null
            value = {k: None if math.isnan(v) else v for k, v in value._asdict().items()}
        values[field.name] = value.tolist() if hasattr(value, "tolist") else value
    del values["latent_means"]  # data, not figures: `python -m tfp_vae encode` writes them
    return values


def table(found):
    """The figures of an `Evaluation`, aligned, each with its unit and its error."""
    from tfp_vae.evaluation import ACTIVE_VARIANCE

    k, n = found.num_samples, found.num_images
    means = [
        ("ELBO = - reconstruction_nll - kl", found.elbo, "nats"),
        ("  reconstruction_nll", found.reconstruction_nll, "nats"),
        ("  kl, exact", found.kl, "nats"),
        (f"log p(x), importance-weighted, K = {k}", found.log_marginal_likelihood, "nats"),
        (f"  bits per dimension, K = {k}", found.bits_per_dimension, "bits"),
        ("kl, Monte Carlo = the two below", found.monte_carlo_kl, "nats"),
        (f"  mutual information, q(z) of {n} images", found.mutual_information, "nats"),
        ("  marginal KL of q(z) from p(z)", found.marginal_kl, "nats"),
    ]
    lines = [f"{'mean over the images':44}{'':12}      standard error (over images)"]
    lines += [
        f"{name:44}{mean.value:12.4f} {unit} +- {mean.standard_error:.4f}"
        for name, mean, unit in means
        if mean is not None
    ]
    if found.elbo is None:
        lines.append(
            "no ELBO, KL, log p(x), bits or mutual information: "
            "the posterior is deterministic, which has no density"
        )
    else:
        error = found.monte_carlo_error
        lines.append(f"{'Monte Carlo standard error of log p(x)':44}{error:12.4f} nats")
    if found.elbo is not None and found.bits_per_dimension is None:
        lines.append("no bits per dimension: the likelihood is a density, not a probability")
    size = len(found.mean_variance)
    name = f"active units, variance of the mean > {ACTIVE_VARIANCE}"
    lines.append(f"{name:44}{found.active_units:12} of {size}")
    if found.kl_per_dimension is not None:
        kind = "marginals only: correlations not counted" if found.full_covariance else "exact"
        lines.append(f"KL of each dimension, largest first, nats ({kind}):")
        largest = sorted(found.kl_per_dimension, reverse=True)
        rows = [largest[start : start + 8] for start in range(0, size, 8)]
        lines += ["".join(f"{value:10.4f}" for value in row) for row in rows]
    return "\n".join(lines)


def _draw(found, labels):
    """The KL of each dimension, and the latent means in their two main directions."""
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    from tfp_vae.evaluation import ACTIVE_VARIANCE

    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    bars, name = found.kl_per_dimension, "KL from the prior, nats"
    if bars is None:
        bars, name = found.mean_variance, "variance of the mean (deterministic: no KL)"
    order = np.argsort(bars)[::-1]
    active = found.mean_variance[order] > ACTIVE_VARIANCE
    for chosen, colour, kind in ((active, "C0", "active"), (~active, "0.75", "inactive")):
        left.bar(np.flatnonzero(chosen), bars[order][chosen], color=colour, label=kind)
    left.set(xlabel="latent dimension, sorted", ylabel=name)
    left.set_title(f"{found.active_units} of {len(bars)} units are active")
    left.legend()

    points = np.zeros([found.num_images, 2])
    if found.num_images > 1:
        axes = min(2, *found.latent_means.shape)
        points[:, :axes] = PCA(axes, random_state=0).fit_transform(found.latent_means)
    right.set(xlabel="first principal component", ylabel="second")
    right.set_title(f"means of q(z|x), {found.num_images} images")
    if labels is None:
        right.scatter(*points.T, s=4)
    else:
        classes = len(np.unique(labels))
        colours = "tab10" if classes <= 10 else "viridis"
        shown = right.scatter(*points.T, s=4, c=labels, cmap=colours)
        figure.colorbar(shown, ax=right, label="label")
    return figure


if __name__ == "__main__":
    sys.exit(run_command(evaluate, "training.evaluate"))
