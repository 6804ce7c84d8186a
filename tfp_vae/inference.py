"""Using a trained model through its SavedModel's signatures: NumPy in, NumPy out.

Nothing here needs the Keras model, TensorFlow Probability or training code.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfp_vae import batches, importance, latent_paths, saved_run


class Posterior(NamedTuple):
    """q(z|x) of N images."""

    mean: np.ndarray  # [N, D]
    stddev: np.ndarray  # [N, D]
    scale_tril: np.ndarray  # [N, D, D], lower triangular: covariance = scale_tril @ its transpose


class PriorSample(NamedTuple):
    """N draws from the prior and what they decode to."""

    image: np.ndarray  # [N, H, W, C]
    latent: np.ndarray  # [N, D]


class Elbo(NamedTuple):
    """elbo = - reconstruction_nll - kl, of N images in nats: [N] each."""

    elbo: np.ndarray
    reconstruction_nll: np.ndarray
    kl: np.ndarray


def load(path):
    """The trained model in a folder that `tfp_vae.export` or training wrote.

    Args:
      path: a version of a run (`saved_models/digits/1`), or the run (`saved_models/digits`), whose
        newest finished version is taken.

    Returns:
      A `SavedVAE`.

    Raises:
      RunError: (a ValueError) a folder that is missing, unfinished, damaged, or of another model.
    """
    folder = saved_run.find(path)
    return SavedVAE(folder, saved_run.open_model(folder))


class SavedVAE:
    """A trained variational autoencoder, as `load` returns it.

    Images are [N, H, W, C], floats in [0, 1] or uint8 0..255: a NumPy array, a tensor, or anything
    with a shape, a dtype and slices, such as a memory map. Where one image is expected, [H, W, C].
    Latents are [N, D]. N is any number, 0 too; the work is done a batch at a time, so memory grows
    with the result alone, and a progress bar shows where it takes long. Results are NumPy arrays,
    float32 unless said. Whatever is random is a function of its seed, 0..2147483647.

    Every method raises a ValueError, in one line, for input of another shape, type or range.

    Attributes:
      path: the folder of the SavedModel.
      image_shape: (H, W, C).
      latent_size: D.
      signatures: the TensorFlow functions of `tfp_vae.export`, by name.
    """

    def __init__(self, path, saved_model):
        self.path = path
        self.signatures = saved_model.signatures
        self._saved_model = saved_model  # owns the variables, which the signatures do not
        self.log_weight_sums = importance.log_weight_sums(self.signatures)
        decode = self.signatures["decode"]
        self.image_shape = tuple(decode.structured_outputs["mean"].shape[1:])
        (self.latent_size,) = decode.structured_input_signature[1]["latent"].shape[1:]

    def __repr__(self):
        return f"<SavedVAE {self.path}: images {self.image_shape}, {self.latent_size} latents>"

    @property
    def fingerprint(self):
        """A text that tells this model from any other; copies have the same."""
        return saved_run.fingerprint(self.path)

    def posterior(self, images):
        """q(z|x) of each image, a `Posterior`; the stddev of a deterministic one is 0."""
        return Posterior(**self._of_images("encode", images, outputs=Posterior._fields))

    def encode(self, images):
        """The mean of q(z|x) of each image: [N, D]."""
        return self._of_images("encode", images, outputs=["mean"])["mean"]

    def decode(self, latents):
        """The mean of p(x|z) at each latent: [N, H, W, C]."""
        latents = batches.checked_latents(latents, self.latent_size)

        def inputs(rows, _):
            return {"latent": tf.cast(latents[rows], tf.float32)}

        return self._batched("decode", latents.shape[0], inputs, outputs=["mean"])["mean"]

    def reconstruct(self, images):
        """The mean of p(x|z) at the mean of q(z|x): [N, H, W, C]."""
        outputs = self._of_images("serving_default", images, outputs=["reconstruction"])
        return outputs["reconstruction"]

    def prior_sample(self, n, seed):
        """`n` draws from the prior and the means of p(x|z) at them, a `PriorSample`."""
        if n < 0:
            raise ValueError(f"n {n}: expected an integer >= 0")
        seed = batches.checked_seed(seed)

        def inputs(rows, number):
            return {"n": tf.constant(rows.stop - rows.start), "seed": tf.constant([seed, number])}

        return PriorSample(**self._batched("sample", n, inputs, outputs=PriorSample._fields))

    def sample(self, n, seed):
        """The mean of p(x|z) at each of `n` draws from the prior: [n, H, W, C]."""
        return self.prior_sample(n, seed=seed).image

    def log_likelihood(self, images, latents):
        """The log p(x|z) of each image at its latent, all constants kept: [N], nats.

        A Bernoulli likelihood makes it a probability of zeros and ones only.
        """
        images = batches.checked_images(images, self.image_shape)
        latents = batches.checked_latents(latents, self.latent_size)
        count = images.shape[0]
        if count != latents.shape[0]:
            raise ValueError(f"{count} images, {latents.shape[0]} latents: expected equal numbers")

        def inputs(rows, _):
            latent = tf.cast(latents[rows], tf.float32)
            return {"image": batches.floats(images[rows]), "latent": latent}

        output = "log_likelihood"
        return self._batched(output, count, inputs, outputs=[output])[output]

    def elbo(self, images, seed=0):
        """The evidence lower bound of each image at one draw of z, an `Elbo`.

        A Bernoulli likelihood makes it a bound on log p(x) for images of zeros and ones only.
        """
        return Elbo(**self._of_images("elbo", images, outputs=Elbo._fields, seed=seed))

    def log_marginal_likelihood(self, images, num_samples, seed=0):
        """Estimates of log p(x) from K = `num_samples` draws for each image: float64 [N], nats.

        The importance-weighted bound log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), with z_k from
        q(z|x) (Burda et al., "Importance weighted autoencoders", 2016). K = 1 is the ELBO; the
        mean never falls as K grows, and tends to log p(x): state K next to the number. The prior
        is taken to be N(0, I), which `build_vae` makes.

        Raises:
          ValueError: besides bad input, a deterministic posterior, which has no density.
        """
        estimates = importance.estimate(self, images, num_samples=num_samples, seed=seed)
        return estimates.log_marginal_likelihood

    def interpolate(self, a, b, steps, spherical=False):
        """Decoded latents evenly spaced from image `a`'s mean to image `b`'s: [steps, H, W, C].

        The first and the last are the reconstructions of `a` and `b`. `spherical` follows the arc
        between the latents in place of the straight line (`latent_paths.spherical`).
        """
        if steps < 2:
            raise ValueError(f"steps {steps}: expected an integer >= 2")
        path = latent_paths.spherical if spherical else latent_paths.linear
        return self.decode(path(self._latent(a), self._latent(b), steps=steps))

    def traverse(self, image, dimension, values):
        """Decoded latents of `image` whose coordinate `dimension` is each of `values`.

        Args:
          image: [H, W, C].
          dimension: 0..D-1.
          values: what that coordinate of the mean becomes, not what is added to it; 1 is one
            standard deviation of the prior.

        Returns:
          [len(values), H, W, C].
        """
        if not 0 <= dimension < self.latent_size:
            raise ValueError(f"dimension {dimension}: expected 0..{self.latent_size - 1}")
        latents = np.tile(self._latent(image), [len(values), 1])
        latents[:, dimension] = values
        return self.decode(latents)

    def latent_direction(self, images_with, images_without):
        """The mean latent of `images_with` minus that of `images_without`: float64 [D].

        An attribute vector (Larsen et al., "Autoencoding beyond pixels", 2016).
        """
        encoded = self.encode(images_with), self.encode(images_without)
        if not (len(encoded[0]) and len(encoded[1])):
            raise ValueError("no images with, or none without: expected at least one of each")
        present, absent = (latents.mean(axis=0, dtype=np.float64) for latents in encoded)
        return present - absent

    def apply_direction(self, image, direction, strengths):
        """`image` [H, W, C] decoded after moving its latent mean along `direction` [D].

        Returns:
          [len(strengths), H, W, C]; strength 0 is the reconstruction, 1 moves by `direction`.
        """
        (direction,) = batches.checked_latents(np.atleast_2d(direction), self.latent_size)
        return self.decode(self._latent(image) + np.outer(strengths, direction))

    def _latent(self, image):
        return self.encode(batches.checked_image(image, self.image_shape))[0]

    def _of_images(self, name, images, *, outputs, seed=None):
        images = batches.checked_images(images, self.image_shape)
        seed = None if seed is None else batches.checked_seed(seed)

        def inputs(rows, number):
            image = {"image": batches.floats(images[rows])}
            return image if seed is None else {**image, "seed": tf.constant([seed, number])}

        return self._batched(name, images.shape[0], inputs, outputs=outputs)

    def _batched(self, name, count, inputs, *, outputs):
        return batches.batched(self.signatures[name], count, inputs, outputs, name)
