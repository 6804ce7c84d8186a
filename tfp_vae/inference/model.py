"""Using a trained model through the functions of its contract: NumPy in, NumPy out."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfp_vae.errors import InputError
from tfp_vae.inference import batches, importance
from tfp_vae.inference.batches import Arrays
from tfp_vae.inference.functions import Functions
from tfp_vae.inference.results import Posterior, PosteriorSample, PriorSample
from tfp_vae.latent_space import paths
from tfp_vae.objectives import Elbo
from tfp_vae.saved_model import load as saved_model


class InferenceModel(Functions):
    """A trained variational autoencoder, as `load` and `inference_model` return it.

    Images are [N, H, W, C], floats in [0, 1] or uint8 0..255: a NumPy array, a tensor, or anything
    with a shape, a dtype and slices, such as a memory map. Where one image is expected, [H, W, C].
    Latents are [N, D], of a model of codes integers from 0 to K - 1. N is any number, 0 too; the
    work is done a batch at a time, so memory grows with the result alone, and a progress bar shows
    where it takes long. Results are NumPy arrays, float32 unless said, codes int32.
    Whatever is random is a function of its seed, 0..2147483647.

    Every method raises an InputError (a ValueError), in one line, for input of another shape, type
    or range, and where the model's family has no such number.

    Attributes:
      signatures: the functions of `tfp_vae.saved_model.contract`, by name.
      description: which family of model they belong to.
      path: the folder of the SavedModel; None for a model in memory.
      image_shape: (H, W, C).
      latent_size: D.
    """

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else self.path
        return f"<InferenceModel {where}: images {self.image_shape}, {self.latent_size} latents>"

    @property
    def fingerprint(self) -> str:
        """A text that differs between SavedModels; copies have the same. Refused in memory."""
        if self.path is None:
            raise InputError("a model in memory has no fingerprint: expected an exported one")
        return saved_model.fingerprint(self.path)

    def posterior(self, images: Arrays) -> Posterior:
        """q(z|x) of each image; the stddev of a deterministic one is 0. Not of codes."""
        self.require_vectors("posterior")
        outputs = self.description.outputs["encode"]
        found = self._of_images("encode", images, outputs=outputs)
        if not self.description.posterior_is_normal:
            found["scale_tril"] = None
        return Posterior(**found)

    def encode(self, images: Arrays) -> np.ndarray:
        """The mean of q(z|x) of each image, [N, D]; of a model of codes the codes, int32."""
        output = self.description.outputs["encode"][0]
        return self._of_images("encode", images, outputs=[output])[output]

    def embed(self, latents: Arrays) -> np.ndarray:
        """The vectors of codes [N, D]: [N, D, C]; without codes the latents, [N, D, 1]."""
        if not self.description.has_codes:
            return np.asarray(self.checked_latents(latents))[..., np.newaxis]
        return self._of_latents("embed", latents, output="embedding")

    def vectors(self, latents: Arrays) -> np.ndarray:
        """What distances between images are measured in (`latent_space.search`).

        Of latents [N, D] these; of codes [N, D] their vectors in one row, [N, D * C].
        """
        vectors = self.embed(latents)
        return vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))

    def decode(self, latents: Arrays) -> np.ndarray:
        """The mean of p(x|z) at each latent: [N, H, W, C]."""
        return self._of_latents("decode", latents, output="mean")

    def sample_image(self, latents: Arrays, seed: int) -> np.ndarray:
        """A draw from p(x|z) at each latent, with its noise: [N, H, W, C]."""
        return self._of_latents("sample_image", latents, output="image", seed=seed)

    def log_prior(self, latents: Arrays) -> np.ndarray:
        """The log p(z) of each latent: [N], nats."""
        self.require_density("log p(z)")
        return self._of_latents("log_prior", latents, output="log_prior")

    def sample_posterior(self, images: Arrays, seed: int) -> PosteriorSample:
        """One draw from q(z|x) of each image, and log q(z|x) there."""
        self.require_density("log q(z|x)")
        names = PosteriorSample._fields
        found = self._of_images("sample_posterior", images, outputs=names, seed=seed)
        return PosteriorSample(**found)

    def reconstruct(self, images: Arrays) -> np.ndarray:
        """The mean of p(x|z) at the mean of q(z|x): [N, H, W, C]."""
        outputs = self._of_images("serving_default", images, outputs=["reconstruction"])
        return outputs["reconstruction"]

    def prior_sample(self, n: int, seed: int) -> PriorSample:
        """`n` draws from the prior and the means of p(x|z) at them, a `PriorSample`."""
        n = batches.checked_count("n", n, least=0)
        seed = batches.checked_seed(seed)

        def inputs(rows: slice, number: int) -> batches.Inputs:
            return {"n": tf.constant(rows.stop - rows.start), "seed": tf.constant([seed, number])}

        return PriorSample(**self._batched("sample", n, inputs, outputs=PriorSample._fields))

    def sample(self, n: int, seed: int) -> np.ndarray:
        """The mean of p(x|z) at each of `n` draws from the prior: [n, H, W, C]."""
        return self.prior_sample(n, seed=seed).image

    def log_likelihood(self, images: Arrays, latents: Arrays) -> np.ndarray:
        """The log p(x|z) of each image at its latent, all constants kept: [N], nats.

        A Bernoulli likelihood makes it a probability of zeros and ones only.
        """
        images = batches.checked_images(images, self.image_shape)
        latents = self.checked_latents(latents)
        count = images.shape[0]
        if count != latents.shape[0]:
            raise InputError(f"{count} images, {latents.shape[0]} latents: expected equal numbers")

        def inputs(rows: slice, _: int) -> batches.Inputs:
            latent = batches.latent_tensor(latents[rows], self.description.latent_dtype)
            return {"image": batches.floats(images[rows]), "latent": latent}

        output = "log_likelihood"
        return self._batched(output, count, inputs, outputs=[output])[output]

    def elbo(self, images: Arrays, seed: int = 0) -> Elbo:
        """The evidence lower bound of each image at one draw of z.

        A deterministic posterior has none: `kl` is 0, and `elbo` the negative reconstruction error.
        A Bernoulli likelihood makes it a bound on log p(x) for images of zeros and ones only.
        """
        return Elbo(**self._of_images("elbo", images, outputs=Elbo._fields, seed=seed))

    def log_marginal_likelihood(
        self, images: Arrays, num_samples: int, seed: int = 0
    ) -> np.ndarray:
        """Estimates of log p(x) from K = `num_samples` draws for each image: float64 [N], nats.

        The importance-weighted bound log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x), with z_k from
        q(z|x) (Burda et al., "Importance weighted autoencoders", 2016). K = 1 is the ELBO; the
        mean never falls as K grows, and tends to log p(x): state K next to the number.

        Raises:
          InputError: besides bad input, a deterministic posterior, which has no density.
        """
        found = importance.estimate(self, images, num_samples=num_samples, seed=seed)
        return found.log_marginal_likelihood

    def interpolate(self, a: Arrays, b: Arrays, steps: int, spherical: bool = False) -> np.ndarray:
        """Decoded latents evenly spaced from image `a`'s mean to image `b`'s: [steps, H, W, C].

        The first and the last are the reconstructions of `a` and `b`. `spherical` follows the arc
        between the latents in place of the straight line (`latent_space.paths.spherical`).
        """
        self.require_vectors("interpolate")
        steps = batches.checked_count("steps", steps, least=2)
        path = paths.spherical if spherical else paths.linear
        return self.decode(path(self._latent(a), self._latent(b), steps=steps))

    def traverse(self, image: Arrays, dimension: int, values: Sequence[float]) -> np.ndarray:
        """Decoded latents of `image` whose coordinate `dimension` is each of `values`.

        Args:
          image: [H, W, C].
          dimension: 0..D-1.
          values: what that coordinate of the mean becomes, not what is added to it.

        Returns:
          [len(values), H, W, C].
        """
        if not isinstance(dimension, int | np.integer) or not 0 <= dimension < self.latent_size:
            raise InputError(f"dimension {dimension}: expected 0..{self.latent_size - 1}")
        column = batches.checked_numbers("values", values)
        # Of codes 1.5 must not become 1.
        latents = np.tile(self._latent(image).astype(np.float64), [len(column), 1])
        latents[:, dimension] = column
        return self.decode(latents)

    def latent_direction(self, images_with: Arrays, images_without: Arrays) -> np.ndarray:
        """The mean latent of `images_with` minus that of `images_without`: float64 [D].

        An attribute vector (Larsen et al., "Autoencoding beyond pixels", 2016).
        """
        self.require_vectors("latent_direction")
        return paths.direction(self.encode(images_with), self.encode(images_without))

    def apply_direction(
        self, image: Arrays, direction: Arrays, strengths: Sequence[float]
    ) -> np.ndarray:
        """`image` [H, W, C] decoded after moving its latent mean along `direction` [D].

        Returns:
          [len(strengths), H, W, C]; strength 0 is the reconstruction, 1 moves by `direction`.
        """
        self.require_vectors("apply_direction")
        found = batches.checked_latents(np.atleast_2d(direction), self.latent_size)
        if len(found) != 1:
            raise InputError(f"{len(found)} directions: expected one, [{self.latent_size}]")
        factors = batches.checked_numbers("strengths", strengths)
        return self.decode(self._latent(image) + np.outer(factors, found[0]))

    def _latent(self, image: Arrays) -> np.ndarray:
        return self.encode(batches.checked_image(image, self.image_shape))[0]

    @functools.cached_property
    def log_weight_sums(self) -> Callable[..., tf.Tensor]:
        """`importance.log_weight_sums` of this model, compiled once."""
        return importance.log_weight_sums(
            self.signatures, self.description, self.densities_at_draws
        )
