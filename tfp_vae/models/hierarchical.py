"""The hierarchical model: posterior and decoder share one path down the levels of latents."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.hierarchical import HierarchicalKL, HierarchicalPosterior
from tfp_vae.layers.kl import deserialize_prior
from tfp_vae.models import OBJECTIVES
from tfp_vae.models.vae import VAE
from tfp_vae.networks.top_down import TopDown
from tfp_vae.priors.base import Prior
from tfp_vae.priors.hierarchical import HierarchicalPrior
from tfp_vae.priors.standard_normal import StandardNormal

USE_EXACT_KL = {"auto": None, "monte_carlo": False}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class HierarchicalVAE(VAE):
    """p(z_L) ... p(z_1 | z_>1) p(x|z) with q(z_L|x) ... q(z_1 | z_>1, x), top-down (NVAE, VDVAE).

    Levels are numbered from the image up: z_1 decides p(x|z) last, z_L is the top. The latents of
    `encoder`, `decoder` and `prior` are one vector [B, D], the top level first, each level in units
    of its prior given those above it (`tfp_vae.networks.top_down`). So it is a `VAE`, for which
    everything works that works for another one. In training, one pass down the levels gives the
    draw, the KL of each level, and p(x|z).

    Metrics, besides those of `VAE`: `kl_1`, ..., `kl_L`, the KL of each level, whose sum is `kl`,
    where the objective is the ELBO of one draw.

    Args:
      bottom_up: images [B, H, W, C] to the features [B, F] that `top_down` names, a tf_keras model.
      top_down: the path.
      likelihood: the layer that makes p(x|z) of what `top_down` returns.
      prior: of the top level, a `tfp_vae.Prior` or a `tfd.Distribution`; None is N(0, I).
      posterior: of each level, as `HierarchicalPosterior` takes it.
      posterior_options: likewise.
      kl: "auto", the closed form of a level's KL where TFP has one, or "monte_carlo".
      beta: weight of the KL in the loss.
      free_bits: the KL of a latent that costs nothing, nats: a level may have as much as that times
        its number of latents, on average over a batch.
      seed: of the posterior's draws.

    Attributes:
      latent_levels: the level of each latent, [D]: L, ..., L, ..., 1, ..., 1.

    Raises:
      InputError: (a ValueError) as `VAE`; kl "exact".
    """

    def __init__(
        self,
        bottom_up: tf_keras.Model,
        top_down: TopDown,
        likelihood: DistributionLayer,
        prior: Prior | tfd.Distribution | None = None,
        posterior: str = "independent_normal",
        posterior_options: dict[str, Any] | None = None,
        kl: str = "auto",
        beta: float = 1.0,
        free_bits: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if kl not in USE_EXACT_KL:
            raise InputError(
                f"kl {kl}: that of a hierarchy is a mean over draws of the upper levels: "
                "expected auto or monte_carlo"
            )
        posterior_layer = HierarchicalPosterior(top_down, posterior, posterior_options, seed)
        sizes = top_down.sizes
        joint = HierarchicalPrior(StandardNormal(sizes[0]) if prior is None else prior, sizes)
        encoder = tf_keras.Model(
            bottom_up.inputs, posterior_layer(bottom_up.outputs[0]), name="encoder"
        )
        posterior_layer.activity_regularizer = HierarchicalKL(
            joint, use_exact_kl=USE_EXACT_KL[kl], weight=beta, free_bits=free_bits
        )
        latents = tf_keras.Input((sum(sizes),))
        decoder = tf_keras.Model(latents, likelihood(top_down(latents)), name="decoder")
        super().__init__(encoder=encoder, decoder=decoder, prior=joint, **kwargs)
        self._regularizer: HierarchicalKL
        one_draw = (self.objective, self.num_samples) == (OBJECTIVES.default, 1)
        if free_bits and not one_draw:
            raise InputError(
                f"free_bits {free_bits}: for a hierarchy with one draw only: expected num_samples 1"
            )
        numbers = range(len(sizes), 0, -1)
        self.latent_levels = tuple(
            number for number, size in zip(numbers, sizes, strict=True) for _ in range(size)
        )
        # Of several draws only the sum over the levels is known.
        names = [f"kl_{number}" for number in numbers] if one_draw else []
        self.level_trackers = [tf_keras.metrics.Mean(name=name) for name in names]

    def named_parts(self) -> tuple[DistributionLayer, Prior]:
        """As `VAE.named_parts`: the posterior of a level, and the prior of the top one."""
        return self.encoder.layers[-1].families[0], self.prior_layer.top

    def _decoded(self, posterior: tfd.Distribution, training: bool) -> tfd.Distribution:
        """As `VAE._decoded`, from the pass that has drawn z; updates the metrics of the levels."""
        for tracker, kl in zip(self.level_trackers, posterior.counted_levels, strict=True):
            tracker.update_state(kl)
        path, layer = self.encoder.layers[-1].top_down, self.decoder.layers[-1]
        return layer(path.parameters(posterior.drawn.state))

    def densities_at_draws(
        self, images: tf.Tensor, count: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Log p(x|u), log p(u) and log q(u|x) at draws u from q(u|x), by one pass down the levels.

        The draws are those that `sample_posterior` of the contract makes of repeated images.

        Args:
          images: [B, H, W, C].
          count: draws of each image, int32 [].
          seed: int32 [2].

        Returns:
          `log_likelihood`, `log_prior` and `log_posterior`, [B * count] each, nats: all draws of
          the first image first.
        """
        drawn = self._posterior_of(images).repeated(count).draw(seed)
        params = self.encoder.layers[-1].top_down.parameters(drawn.state)
        likelihood = self.decoder.layers[-1].make_distribution(tf.cast(params, tf.float32))
        return {
            "log_likelihood": likelihood.log_prob(tf.repeat(images, count, axis=0)),
            "log_prior": self.prior.log_prob(drawn.latents),
            "log_posterior": drawn.log_posterior,
        }

    def get_config(self) -> dict[str, Any]:
        layer = self.encoder.layers[-1]
        bottom_up = tf_keras.Model(self.encoder.inputs, layer.input, name="bottom_up")
        return {
            "name": self.name,
            "bottom_up": tf_keras.layers.serialize(bottom_up),
            "top_down": tf_keras.layers.serialize(layer.top_down),
            "likelihood": tf_keras.layers.serialize(self.decoder.layers[-1]),
            "prior": tf_keras.layers.serialize(self.prior_layer.top),
            "posterior": layer.family,
            "posterior_options": layer.options,
            "kl": self._regularizer.form,
            "beta": float(self._regularizer.weight.numpy()),
            "level_weights": self._regularizer.level_weights.numpy().tolist(),
            "free_bits": self._regularizer.free_bits,
            "seed": layer.seed,
            "objective": self.objective,
            "num_samples": self.num_samples,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "HierarchicalVAE":
        made = {
            part: tf_keras.layers.deserialize(config[part], custom_objects)
            for part in ("bottom_up", "top_down", "likelihood")
        }
        given = {**config, **made, "prior": deserialize_prior(config["prior"])}
        level_weights = given.pop("level_weights", None)  # older configs have none
        loaded = cls(**given)
        if level_weights is not None:
            loaded._regularizer.level_weights.assign(level_weights)
        return loaded
