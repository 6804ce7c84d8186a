"""log p(x) by importance sampling, from the functions of a model's contract alone."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae import objectives
from tfp_vae.inference.batches import (
    BATCH,
    checked_count,
    checked_images,
    checked_seed,
    floats,
    progress_bar,
)
from tfp_vae.objectives import LOG_2_PI
from tfp_vae.saved_model.contract import Description

if TYPE_CHECKING:
    from tfp_vae.inference.model import InferenceModel

# Images in one call where each has many draws: then the overhead of a call is negligible.
IMAGES_PER_CALL = 8
# Chunks of draws that TensorFlow may compute at once: one small chunk does not fill the cores.
PARALLEL_CHUNKS = 2


class Estimates(NamedTuple):
    """Estimates of log p(x) of N images, float64 [N] each, nats."""

    log_marginal_likelihood: np.ndarray
    standard_error: np.ndarray  # of each, from the spread of its weights; nan for K = 1


# Log p(x|z), log p(z) and log q(z|x) of draws, [B * size] each, `size` of each image; by seed.
Densities = Callable[[tf.Tensor], Mapping[str, tf.Tensor]]


def log_weight_sums(
    signatures: Mapping[str, Any],
    description: Description,
    densities_at_draws: Callable[..., Mapping[str, tf.Tensor]] | None = None,
) -> Callable[..., tf.Tensor]:
    """Compiles the sum of the importance weights w_k = p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x).

    The logarithms of the sums are accumulated a chunk of draws at a time, so memory does not grow
    with their number, and weights whose exponentials underflow count.

    Args:
      signatures: the functions of the contract.
      description: of the model.
      densities_at_draws: what a hierarchy has in place of three signatures, with less work.

    Returns:
      A function of images, float32 [B, H, W, C]; int32 [] K, the number of draws; and an int32 [2]
      seed. It returns float64 [2, B], nats: log sum_k w_k, and log sum_k w_k^2.
    """

    def densities(images: tf.Tensor, size: tf.Tensor) -> Densities:
        if densities_at_draws is not None:
            return lambda seed: densities_at_draws(images, size, seed)
        sampler = _normal_sampler if description.posterior_is_normal else _sampler
        return _by_signatures(signatures, images, size, sampler)

    @tf.function(reduce_retracing=True)
    def sums(images: tf.Tensor, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count = tf.shape(images)[0]
        size = tf.maximum(1, tf.minimum(num_samples, BATCH // count))  # draws of each in a chunk
        densities_of = densities(images, size)

        def chunk(start: tf.Tensor, totals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = densities_of(tf.random.experimental.stateless_fold_in(seed, start))
            log_weights = objectives.log_weight(
                **{name: _double(density) for name, density in found.items()}
            )
            log_weights = tf.reshape(log_weights, [count, size])
            counted = tf.range(size) < num_samples - start  # the last chunk may be too long
            log_weights = tf.where(counted, log_weights, -np.inf)
            powers = tf.stack([log_weights, 2.0 * log_weights])  # [2, B, size]
            new = tf.reduce_logsumexp(powers, axis=-1)
            return start + size, tf.reduce_logsumexp(tf.stack([totals, new]), axis=0)

        _, totals = tf.while_loop(
            lambda start, _: start < num_samples,
            chunk,
            [0, tf.fill([2, count], tf.constant(-np.inf, tf.float64))],
            parallel_iterations=PARALLEL_CHUNKS,
        )
        return totals

    return sums


# A function of a seed to latents [B * size, D] and log q(z|x) [B * size], `size` of each image.
Draw = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def _by_signatures(
    signatures: Mapping[str, Any],
    images: tf.Tensor,
    size: tf.Tensor,
    sampler: Callable[..., Draw],
) -> Densities:
    repeated = tf.repeat(images, size, axis=0)  # [B * size, H, W, C]
    draw = sampler(signatures, images, size)

    def densities(seed: tf.Tensor) -> Mapping[str, tf.Tensor]:
        latents, log_posterior = draw(seed)
        return {
            **signatures["log_likelihood"](image=repeated, latent=latents),
            **signatures["log_prior"](latent=latents),
            "log_posterior": log_posterior,
        }

    return densities


def _sampler(signatures: Mapping[str, Any], images: tf.Tensor, size: tf.Tensor) -> Draw:
    """Draws by `sample_posterior`, which encodes the images again for each chunk."""
    repeated = tf.repeat(images, size, axis=0)

    def draw(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = signatures["sample_posterior"](image=repeated, seed=seed)
        return drawn["latent"], drawn["log_posterior"]

    return draw


def _normal_sampler(signatures: Mapping[str, Any], images: tf.Tensor, size: tf.Tensor) -> Draw:
    """Draws from a Normal posterior by its mean and covariance: the images are encoded once."""
    encoded = signatures["encode"](image=images)
    mean, scale_tril = encoded["mean"], encoded["scale_tril"]
    log_scales = tf.math.log(_double(tf.linalg.diag_part(scale_tril)))
    log_determinant = tf.reduce_sum(log_scales, axis=1, keepdims=True)  # [B, 1]
    shape = tf.stack([tf.shape(images)[0], size, mean.shape[1]])

    def draw(seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        noise = tf.random.stateless_normal(shape, seed)
        latents = mean[:, tf.newaxis] + tf.matmul(noise, scale_tril, transpose_b=True)
        squares = tf.reduce_sum(_double(noise) ** 2 + LOG_2_PI, axis=-1)
        log_posterior = -0.5 * squares - log_determinant  # [B, size]
        return tf.reshape(latents, [-1, mean.shape[1]]), tf.reshape(log_posterior, [-1])

    return draw


def _double(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float64)


def estimate(model: "InferenceModel", images: Any, *, num_samples: int, seed: int) -> Estimates:
    """The log 1/K sum_k w_k for each image, and its standard error by the delta method.

    The error is sqrt((K sum w^2 / (sum w)^2 - 1) / K), the relative standard error of the mean
    weight (Owen, "Monte Carlo theory, methods and examples", chapter 9). It does not cover the
    bias of the logarithm, which is about minus half the square of the error, nor what a heavy tail
    of the weights hides from K draws.

    Args:
      model: an `InferenceModel`.
      images: [N, H, W, C], as its methods take them.
      num_samples: K.
      seed: 0..2147483647.

    Raises:
      InputError: bad input, or a deterministic posterior, which has no density.
    """
    images = checked_images(images, model.image_shape)
    seed, count = checked_seed(seed), images.shape[0]
    num_samples = checked_count("num_samples", num_samples, least=1)
    model.require_density("log p(x)")
    if model.description.has_codes:  # every draw is the same: the bound at any K is that of K = 1
        bound = np.asarray(model.elbo(images, seed).elbo, np.float64)
        return Estimates(bound, np.zeros(count))
    together = max(IMAGES_PER_CALL, BATCH // num_samples)
    totals = np.empty([2, count])
    with progress_bar(count * num_samples, "log p(x)") as bar:
        for start in range(0, count, together):
            batch = floats(images[start : start + together])
            draws = tf.constant(num_samples), tf.constant([seed, start])
            totals[:, start : start + together] = model.log_weight_sums(batch, *draws)
            bar.update(len(batch) * num_samples)
    log_sum, log_sum_of_squares = totals
    excess = np.exp(math.log(num_samples) + log_sum_of_squares - 2.0 * log_sum) - 1.0
    error = np.sqrt(np.maximum(excess, 0.0) / num_samples)
    if num_samples == 1:  # one weight has no spread
        error[:] = np.nan
    return Estimates(log_sum - math.log(num_samples), error)
