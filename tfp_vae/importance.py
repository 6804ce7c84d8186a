"""log p(x) by importance sampling, from a SavedModel's signatures alone."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae.batches import BATCH, checked_images, checked_seed, floats, progress_bar

# Images in one call, where each has many draws: enough for the call itself to cost nothing.
TOGETHER = 8
# Chunks of draws that TensorFlow may work on at once: small ones do not fill the cores alone.
PARALLEL_CHUNKS = 2


class Estimates(NamedTuple):
    """Estimates of log p(x) of N images, float64 [N] each, nats."""

    log_marginal_likelihood: np.ndarray
    standard_error: np.ndarray  # of each image's estimate, from the spread of its weights


def log_weight_sums(signatures):
    """Compiles the sum of the importance weights w_k = p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x).

    The logarithms of the sums are accumulated a chunk of draws at a time, so memory does not grow
    with their number, and weights whose exponentials underflow count. The prior is N(0, I).

    Args:
      signatures: those of `tfp_vae.export`.

    Returns:
      A function of images, float32 [B, H, W, C]; their means [B, D] and scale_trils [B, D, D];
      int32 [] K, the number of draws; and an int32 [2] seed. It returns float64 [2, B], nats:
      log sum_k w_k, and log sum_k w_k^2.
    """
    log_likelihood = signatures["log_likelihood"]

    @tf.function(reduce_retracing=True)
    def sums(images, mean, scale_tril, num_samples, seed):
        count = tf.shape(images)[0]
        size = tf.maximum(1, tf.minimum(num_samples, BATCH // count))  # draws of each in a chunk
        log_determinant = tf.reduce_sum(tf.math.log(_double(tf.linalg.diag_part(scale_tril))), 1)
        repeated = tf.repeat(images, size, axis=0)  # [B * size, H, W, C]

        def chunk(start, totals):
            noise = tf.random.stateless_normal(
                tf.stack([count, size, mean.shape[1]]),
                tf.random.experimental.stateless_fold_in(seed, start),
            )
            latents = mean[:, tf.newaxis] + tf.matmul(noise, scale_tril, transpose_b=True)
            rows = tf.reshape(latents, [-1, mean.shape[1]])
            outputs = log_likelihood(image=repeated, latent=rows)
            # log p(z) - log q(z|x): the -D/2 log(2 pi) of both cancels.
            squares = tf.reduce_sum(_double(noise) ** 2 - _double(latents) ** 2, axis=-1)
            log_ratios = 0.5 * squares + log_determinant[:, tf.newaxis]
            log_weights = log_ratios + _double(tf.reshape(outputs["log_likelihood"], [count, -1]))
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


def _double(tensor):
    return tf.cast(tensor, tf.float64)


def estimate(model, images, *, num_samples, seed):
    """The log 1/K sum_k w_k for each image, and its standard error by the delta method.

    The error is sqrt((K sum w^2 / (sum w)^2 - 1) / K), the relative standard error of the mean
    weight (Owen, "Monte Carlo theory, methods and examples", chapter 9). It does not cover the
    bias of the logarithm, which is about minus half the square of the error, nor what a heavy tail
    of the weights hides from K draws.

    Args:
      model: a `SavedVAE`.
      images: [N, H, W, C], as its methods take them.
      num_samples: K.
      seed: 0..2147483647.

    Returns:
      `Estimates`.

    Raises:
      ValueError: bad input, or a deterministic posterior, which has no density.
    """
    images = checked_images(images, model.image_shape)
    seed, count = checked_seed(seed), images.shape[0]
    if num_samples < 1:
        raise ValueError(f"num_samples {num_samples}: expected an integer >= 1")
    together = max(TOGETHER, BATCH // num_samples)
    totals = np.empty([2, count])
    with progress_bar(count * num_samples, "log p(x)") as bar:
        for start in range(0, count, together):
            batch = floats(images[start : start + together])
            encoded = model.signatures["encode"](image=batch)
            scale_tril = encoded["scale_tril"]
            if not np.all(np.diagonal(scale_tril, axis1=1, axis2=2)):
                raise ValueError(
                    "the posterior is deterministic: it has no density, so no log p(x)"
                )
            draws = tf.constant(num_samples), tf.constant([seed, start])
            totals[:, start : start + together] = model.log_weight_sums(
                batch, encoded["mean"], scale_tril, *draws
            )
            bar.update(len(batch) * num_samples)
    log_sum, log_sum_of_squares = totals
    excess = np.exp(math.log(num_samples) + log_sum_of_squares - 2.0 * log_sum) - 1.0
    error = np.sqrt(np.maximum(excess, 0.0) / num_samples)
    return Estimates(log_sum - math.log(num_samples), error)
