"""What a run reports beside its losses, and what it says of one that went wrong."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfp_vae
from tfp_vae.evaluation.figures import ACTIVE_VARIANCE, double, mean
from tfp_vae.inference.batches import BATCH
from tfp_vae.layers.sparse import KSparseCode, SigmoidCode
from tfp_vae.objectives import Elbo
from training import yardstick
from training.config import KL_NAMES, Config
from training.data.splits import Splits
from training.run.progress import ADVICE, ADVICE_WITHOUT_KL

MIN_USAGE = 0.1  # of a codebook, below which a run says so


def measured(
    vae: "tfp_vae.VAE", splits: Splits, test: tf.data.Dataset, config: Config
) -> dict[str, float]:
    """The metrics on the test images, flat, for `metrics.json`.

    Args:
      vae: trained.
      splits: the images.
      test: batches of the test images, as the model was validated.
      config: the settings of the run.

    Returns:
      `loss`, `elbo`, `reconstruction_nll` and `kl` in nats per image, the `errors` of the last
      three, `num_images`, `active_units`, `num_latents`, `num_parameters`, of a hierarchy `kl_1`,
      ... of its levels, of codes `perplexity` and `usage` (a share) in place of `active_units`, of
      a sparse code what `sparsity` returns; for a Normal likelihood `ppca_log_likelihood` in nats,
      `ppca_latents` and `ppca_images`, as in `yardstick.PrincipalComponents`.
    """
    metrics = vae.evaluate(test, return_dict=True, verbose=0)
    model = tfp_vae.inference_model(vae)
    metrics |= errors(model, test, config.seed)
    metrics["num_images"] = splits.test.count
    if not model.description.has_codes:
        means = np.concatenate([model.encode(batch) for batch in test.as_numpy_iterator()])
        metrics["active_units"] = int((means.var(axis=0) > ACTIVE_VARIANCE).sum())
        metrics |= sparsity(vae.encoder.layers[-1], means)
    metrics["num_latents"] = model.latent_size
    metrics["num_parameters"] = sum(model.weight_sizes)
    if yardstick.applies(model.description):
        ppca = yardstick.score(splits.train, test.as_numpy_iterator(), model.latent_size)
        if ppca is not None:
            metrics |= {f"ppca_{name}": value for name, value in ppca._asdict().items()}
    return metrics


def errors(model: "tfp_vae.InferenceModel", test: tf.data.Dataset, seed: int) -> dict[str, float]:
    """Standard errors over the test images of the terms of the bound, from one draw of each image.

    Args:
      model: the trained one.
      test: batches of the test images.
      seed: of the draws, which do not depend on the size of the batches.

    Returns:
      `elbo_standard_error`, `reconstruction_nll_standard_error` and `kl_standard_error`, in nats;
      nothing of a single image.
    """
    batches = test.rebatch(BATCH).as_numpy_iterator()
    found = [model.elbo(batch, (seed + index) % 2**31) for index, batch in enumerate(batches)]
    terms = Elbo(*(np.concatenate(values) for values in zip(*found, strict=True)))
    return {
        f"{name}_standard_error": mean(double(values)).standard_error
        for name, values in terms._asdict().items()
        if len(values) > 1
    }


def of_training(history: Path) -> dict[str, float]:
    """`training_elbo`, in nats: the ELBO of the training images in the last epoch of `history`."""
    with history.open(newline="") as rows:
        *_, last = csv.DictReader(rows)
    return {"training_elbo": float(last["elbo"])}


def sparsity(layer: Any, codes: np.ndarray) -> dict[str, float]:
    """How sparse the codes of images are.

    Args:
      layer: makes the posterior.
      codes: [N, D].

    Returns:
      `active_share`, the mean over images of the share of the units that are active (of a
      `SigmoidCode` those with an activity above 0.5, of a `KSparseCode` those that are not 0); of a
      `SigmoidCode` also `mean_activity`, over images and units, and its target, `target_activity`.
      Nothing for another layer.
    """
    if not isinstance(layer, SigmoidCode | KSparseCode):
        return {}
    found = {"active_share": float(np.mean(layer.is_active(codes)))}
    if isinstance(layer, SigmoidCode):
        found["mean_activity"] = float(codes.mean())
        found["target_activity"] = layer.activity_regularizer.target
    return found


def lines(metrics: dict[str, Any], kl_form: str, model: str = "vae") -> Iterator[str]:
    """The metrics in words, and a line for each thing that went wrong."""
    if kl_form == "none":
        yield f"test log p(x|z) at the code {metrics['elbo']:.3f} nats per image, not a bound"
    else:
        yield (
            f"test ELBO {metrics['elbo']:.3f} nats per image = "
            f"- reconstruction_nll {metrics['reconstruction_nll']:.3f} "
            f"- {KL_NAMES[kl_form]} {metrics['kl']:.3f}"
        )
    latents, parts = metrics["num_latents"], f"{metrics['num_parameters']:,} parameters"
    if "active_units" not in metrics:
        yield from _of_codes(metrics, f"{parts}, {latents} codes an image")
        return
    active = metrics["active_units"]
    parts += f", {active} of {latents} latents are active"
    if "ppca_log_likelihood" not in metrics:
        yield parts
    else:
        ppca = metrics["ppca_log_likelihood"]
        yield f"{parts}; probabilistic PCA {ppca:.3f} nats ({_fitted(metrics)})"
        if metrics["elbo"] < ppca and kl_form != "none":
            yield (
                "the ELBO is below probabilistic PCA, a linear model with as many latents"
                f"{_instead(metrics, model)}"
            )
    if "active_share" in metrics:
        share = f"{metrics['active_share']:.1%} of the {latents} units are active in an image"
        if "target_activity" in metrics:
            mean, target = metrics["mean_activity"], metrics["target_activity"]
            share += f"; their mean activity is {mean:.4f}, the target {target:g}"
        yield share
    if active == 0 and "target_activity" not in metrics:  # sigmoid units vary less than latents
        advice = ADVICE_WITHOUT_KL if kl_form == "none" else ADVICE
        yield f"no latent is active, so that all reconstructions are alike: {advice}"


def _instead(metrics: dict[str, Any], model: str) -> str:
    """What to try where the ELBO is below that of probabilistic PCA."""
    training = metrics.get("training_elbo", -math.inf)
    if training < metrics["ppca_log_likelihood"]:
        return ": try more --epochs, or another --network, --activation or --likelihood"
    has_dropout = model == "vae" and "kl_1" not in metrics  # the latter is of a hierarchy
    dropout = "a higher --dropout, " if has_dropout else ""
    return (
        f"; that of the training images is {training:.3f}: the network fits them alone: "
        f"try more images, {dropout}--mirror, or a lower --learning-rate"
    )


def _of_codes(metrics: dict[str, Any], parts: str) -> Iterator[str]:
    """The lines of a model whose latents are codes."""
    usages = {name: share for name, share in metrics.items() if name.startswith("usage")}
    each = [
        f"{share:.1%} of the codes{name.removeprefix('usage').replace('_', ' of level ')} occur, "
        f"perplexity {metrics[name.replace('usage', 'perplexity')]:.1f}"
        for name, share in usages.items()
    ]
    yield "; ".join([parts, *each])
    if min(usages.values()) < MIN_USAGE:
        yield (
            "most codes are dead: try a smaller --codebook-size or --code-size, "
            "--quantizer finite_scalar, or more --epochs"
        )


def _fitted(metrics: dict[str, Any]) -> str:
    return f"{metrics['ppca_latents']} latents, {metrics['ppca_images']:,} images"
