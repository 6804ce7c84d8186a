"""SavedModels of version 0.1.0: the functions of contract 2 that theirs imply.

They have six signatures and no description. Their posterior is a Normal or deterministic, and their
prior is assumed to be N(0, I). The KL that `elbo` returns is compared with the KL from N(0, I).
"""

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfp_vae import objectives
from tfp_vae.objectives import LOG_2_PI
from tfp_vae.saved_model.contract import Description

KL_TOLERANCE = 1e-3  # relative, between the KL of `elbo` and that from N(0, I)
UNKNOWN = "unknown"

Kind = Literal["probability", "density", "unknown"]
LIKELIHOODS: dict[str, Kind] = {  # those of version 0.1.0
    "independent_bernoulli": "probability",
    "continuous_bernoulli": "density",
    "independent_normal": "density",
}


def describe(signatures: Any, settings: dict[str, Any]) -> Description:
    """The description that version 0.1.0 did not write, as far as the run tells it.

    Args:
      signatures: of the SavedModel.
      settings: the run's `config.json`, which names the likelihood; {} without one.
    """
    images = tf.fill([1, *signatures["decode"].structured_outputs["mean"].shape[1:]], 0.5)
    latent_size = signatures["decode"].structured_input_signature[1]["latent"].shape[1]
    scale_tril = signatures["encode"](image=images)["scale_tril"].numpy()[0]
    has_density = bool(np.diagonal(scale_tril).all())
    diagonal = not np.tril(scale_tril, -1).any()
    normal = "independent_normal" if diagonal else "multivariate_normal_tril"
    form = _kl_form(signatures, images) if has_density else "none"
    likelihood = settings.get("likelihood", UNKNOWN)
    return Description(
        contract=1,
        model="vae",
        posterior=normal if has_density else "deterministic",
        prior=UNKNOWN if form is None else "standard_normal",
        likelihood=likelihood,
        log_likelihood=LIKELIHOODS.get(likelihood, "unknown"),
        kl=form or "unknown",
        has_density=has_density,
        posterior_is_normal=has_density,
        prior_is_standard_normal=form is not None,
        latent_shape=(latent_size,),
        latent_levels=(0,) * latent_size,
    )


def _kl_form(signatures: Any, images: tf.Tensor) -> Literal["exact", "monte_carlo", "none"] | None:
    """The form of the KL if it is that from N(0, I), at one image; None for another prior."""
    seed = tf.constant([0, 0])
    kl = signatures["elbo"](image=images, seed=seed)["kl"].numpy()
    encoded = signatures["encode"](image=images)
    mean, scale_tril = (np.asarray(encoded[k], np.float64) for k in ("mean", "scale_tril"))
    log_determinant = np.log(np.diagonal(scale_tril, axis1=1, axis2=2)).sum(axis=1)
    trace = (scale_tril**2).sum(axis=(1, 2))
    exact = 0.5 * (trace + (mean**2).sum(axis=1) - mean.shape[1]) - log_determinant
    latents, log_posterior = _draw(encoded, seed)
    monte_carlo = objectives.monte_carlo_kl(log_posterior, _log_standard_normal(latents)).numpy()
    if np.allclose(kl, exact, rtol=KL_TOLERANCE, atol=KL_TOLERANCE):
        return "exact"
    same = np.allclose(kl, monte_carlo, rtol=KL_TOLERANCE, atol=KL_TOLERANCE)
    return "monte_carlo" if same else None


def functions(signatures: Any, description: Description) -> dict[str, Any]:
    """`signatures` and, where posterior and prior are known, the two of a density."""
    if not (description.has_density and description.prior_is_standard_normal):
        return dict(signatures)
    image = tf.TensorSpec([None, *signatures["decode"].structured_outputs["mean"].shape[1:]])
    latent = tf.TensorSpec([None, *description.latent_shape])

    @tf.function(input_signature=[image, tf.TensorSpec([2], tf.int32)])
    def sample_posterior(image: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        latents, log_posterior = _draw(signatures["encode"](image=image), seed)
        return {"latent": latents, "log_posterior": log_posterior}

    @tf.function(input_signature=[latent])
    def log_prior(latent: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"log_prior": _log_standard_normal(latent)}

    added = {"sample_posterior": sample_posterior, "log_prior": log_prior}
    concrete = {name: function.get_concrete_function() for name, function in added.items()}
    return {**signatures, **concrete}


def _draw(encoded: dict[str, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The draw that `elbo` of version 0.1.0 makes, and log q(z|x) there."""
    noise = tf.random.stateless_normal(tf.shape(encoded["mean"]), seed)
    latents = encoded["mean"] + tf.linalg.matvec(encoded["scale_tril"], noise)
    log_scales = tf.math.log(tf.linalg.diag_part(encoded["scale_tril"]))
    return latents, tf.reduce_sum(-0.5 * (noise**2 + LOG_2_PI) - log_scales, axis=-1)


def _log_standard_normal(latents: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(-0.5 * (latents**2 + LOG_2_PI), axis=-1)
