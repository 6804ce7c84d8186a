"""The functions of a model's contract, applied to arrays of any length, a batch at a time."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_vae.errors import InputError
from tfp_vae.inference import batches
from tfp_vae.inference.batches import Arrays
from tfp_vae.saved_model.contract import Description


class Functions:
    """The functions of `tfp_vae.saved_model.contract`, and which family of model they belong to.

    Args:
      signatures: the functions by name, with concrete shapes.
      description: of the model.
      path: the folder of the SavedModel; None for a model in memory.
      owner: what keeps the variables of the functions alive.
      densities_at_draws: of a hierarchy, as `HierarchicalVAE` has it: a faster way to what three
        signatures give.
    """

    def __init__(
        self,
        signatures: Mapping[str, Any],
        description: Description,
        *,
        path: Path | None = None,
        owner: Any = None,
        densities_at_draws: Any = None,
    ) -> None:
        self.signatures = signatures
        self.description = description
        self.path = path
        self._owner = owner
        self.densities_at_draws = densities_at_draws
        self.image_shape = tuple(signatures["decode"].structured_outputs["mean"].shape[1:])
        (self.latent_size,) = description.latent_shape

    @property
    def weight_sizes(self) -> list[int]:
        """The number of values in each weight of the model, all float32."""
        found = {
            variable.ref(): math.prod(variable.shape)
            for signature in self.signatures.values()
            for variable in signature.variables
            if variable.dtype.is_floating
        }
        return list(found.values())

    @property
    def no_density(self) -> str | None:
        """Why log q(z|x) and log p(z) are not known; None where they are."""
        if not self.description.has_density:
            return f"the posterior is {self.description.posterior}: it has no density"
        if "log_prior" in self.signatures:
            return None
        return "version 0.1.0 exported it with a prior other than N(0, I): export it again"

    def require_density(self, purpose: str) -> None:
        """Raises an InputError that names `purpose` and `no_density`, if there is none."""
        if self.no_density:
            raise InputError(f"{purpose}: {self.no_density}")

    def require_vectors(self, purpose: str) -> None:
        """Raises an InputError that names `purpose`, if latents are codes."""
        if self.description.has_codes:
            raise InputError(
                f"{purpose}: the latents of {self.description.model} are codes, which have no "
                "distances and no moments: expected a model whose latents are numbers"
            )

    def checked_latents(self, latents: Arrays) -> Any:
        """`latents`, an array if they were lists: [N, D], of codes integers from 0 to K - 1.

        Raises:
          InputError: others.
        """
        return batches.checked_latents(latents, self.latent_size, self.description.codebook_size)

    def _of_latents(
        self, name: str, latents: Arrays, *, output: str, seed: int | None = None
    ) -> np.ndarray:
        latents = self.checked_latents(latents)
        seed = None if seed is None else batches.checked_seed(seed)

        def inputs(rows: slice, number: int) -> batches.Inputs:
            dtype = self.description.latent_dtype
            latent = {"latent": batches.latent_tensor(latents[rows], dtype)}
            return latent if seed is None else {**latent, "seed": tf.constant([seed, number])}

        return self._batched(name, latents.shape[0], inputs, outputs=[output])[output]

    def _of_images(
        self, name: str, images: Arrays, *, outputs: Sequence[str], seed: int | None = None
    ) -> dict[str, Any]:
        images = batches.checked_images(images, self.image_shape)
        seed = None if seed is None else batches.checked_seed(seed)

        def inputs(rows: slice, number: int) -> batches.Inputs:
            image = {"image": batches.floats(images[rows])}
            return image if seed is None else {**image, "seed": tf.constant([seed, number])}

        return self._batched(name, images.shape[0], inputs, outputs=outputs)

    def _batched(
        self, name: str, count: int, inputs: batches.InputsOf, *, outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        if name not in self.signatures:
            raise InputError(f"{name}: not in a SavedModel of version 0.1.0: export it again")
        return batches.batched(self.signatures[name], count, inputs, outputs, name)
