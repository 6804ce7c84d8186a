"""log p(x) by importance sampling, from a SavedModel's signatures alone."""

import numpy as np
import tensorflow as tf

from tfp_vae.batches import BATCH


def log_weight_sum(signatures, images, *, num_samples, noise, bar):
    """The log of sum_k p(x|z_k) p(z_k) / q(z_k|x) of one batch of images, with z_k from q(z|x).

    The logarithm of the sum is accumulated as the draws are made, so memory does not grow with
    their number. The prior is N(0, I).

    Args:
      signatures: those of `tfp_vae.export`.
      images: float32 tensor [B, H, W, C] in [0, 1], B >= 1.
      num_samples: K.
      noise: a `np.random.Generator`.
      bar: a progress bar, which moves by one for each image and draw.

    Returns:
      float64 [B], nats.

    Raises:
      ValueError: a deterministic posterior, which has no density.
    """
    encoded = signatures["encode"](image=images)
    mean, scale_tril = (encoded[key].numpy().astype(np.float64) for key in ("mean", "scale_tril"))
    diagonal = np.diagonal(scale_tril, axis1=1, axis2=2)
    if np.any(diagonal == 0.0):
        raise ValueError("the posterior is deterministic: it has no density, so no log p(x)")
    log_determinant = np.log(diagonal).sum(axis=-1)  # [B]
    together = min(num_samples, max(1, BATCH // len(images)))  # draws of each image in one call
    repeated = tf.tile(images, [together, 1, 1, 1])
    total = np.full(len(images), -np.inf)
    for start in range(0, num_samples, together):
        draws = min(together, num_samples - start)
        eps = noise.standard_normal([draws, *mean.shape])  # [S, B, D]
        latents = mean + np.einsum("bij,sbj->sbi", scale_tril, eps)
        rows = draws * len(images)
        outputs = signatures["log_likelihood"](
            image=repeated[:rows], latent=tf.constant(latents.reshape(rows, -1), tf.float32)
        )
        log_likelihood = outputs["log_likelihood"].numpy().reshape(draws, -1)
        # log p(z) - log q(z|x): the -D/2 log(2 pi) of both cancels.
        log_ratio = 0.5 * (eps**2 - latents**2).sum(axis=-1) + log_determinant
        log_weights = log_likelihood + log_ratio  # [S, B]
        total = np.logaddexp(total, np.logaddexp.reduce(log_weights, axis=0))
        bar.update(rows)
    return total
