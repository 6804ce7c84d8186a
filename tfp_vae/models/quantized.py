"""The models whose latents are codes: VQ-VAE, and VQ-VAE-2 with two levels of codes."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.errors import InputError
from tfp_vae.layers.base import DistributionLayer, params_model
from tfp_vae.layers.code_path import CodePath
from tfp_vae.layers.codes import CodeKL, CodePosterior
from tfp_vae.models import OBJECTIVES, passes
from tfp_vae.models.usage import CodeUsage
from tfp_vae.models.vae import VAE
from tfp_vae.priors.codes import CodePrior


@tf_keras.saving.register_keras_serializable("tfp_vae")
class QuantizedVAE(VAE):
    """Latents that are codes on a grid (van den Oord et al., 2017), under an honest bound.

    All mass of q(z|x) is on one code of each position, so that KL(q(z|x) || p(z)) is -log p(z) at
    the codes, and `elbo` = log p(x|z) + log p(z) is a bound on log p(x). The prior is uniform while
    the model trains: `kl` is D log K. A `CodePriorModel` then fits it.

    The loss is -`elbo` and the commitment (`CodePath`); the codes themselves follow the features
    after each step.

    Metrics, besides those of `VAE`: `perplexity` of the codes in an epoch, and `usage`, the share
    of the codebook that occurs in it; with two levels `perplexity_1`, ..., and `kl_1` and `kl_2`,
    -log p(z_1 | z_2) and -log p(z_2), whose sum is `kl`.

    Args:
      features: images [B, H, W, C] to the features [B, F] that `path` takes, a tf_keras model.
      path: from features to codes.
      trunk: a tf_keras model of what `path` makes of codes, [B, h, w, E], to the parameters of
        p(x|z).
      likelihood: the layer that makes p(x|z) of them.
      prior: None makes one.
      beta: weight of the KL in the loss.

    Attributes:
      latent_levels: the level of each code, [D]: 0 for one level, else 2, ..., 1, ...

    Raises:
      InputError: (a ValueError) as `VAE`; another objective than the ELBO of one draw.
    """

    def __init__(
        self,
        features: tf_keras.Model,
        path: CodePath,
        trunk: tf_keras.Model,
        likelihood: DistributionLayer,
        prior: CodePrior | None = None,
        beta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        objective = kwargs.get("objective", OBJECTIVES.default), kwargs.get("num_samples", 1)
        if objective != (OBJECTIVES.default, 1):
            raise InputError(
                f"objective {objective[0]}, num_samples {objective[1]}: "
                "an image has one code: expected elbo, 1"
            )
        prior = CodePrior(path.sizes, path.codebook_size) if prior is None else prior
        regularizer = CodeKL(prior, use_exact_kl=True, weight=beta)
        posterior_layer = CodePosterior(path, activity_regularizer=regularizer)
        encoder = tf_keras.Model(
            features.inputs, posterior_layer(features.outputs[0]), name="encoder"
        )
        codes = tf_keras.Input((sum(path.sizes),), dtype=tf.int32)
        decoder = tf_keras.Model(codes, likelihood(trunk(path(codes))), name="decoder")
        super().__init__(encoder=encoder, decoder=decoder, prior=prior, **kwargs)
        self._regularizer: CodeKL
        self.trunk = trunk
        levels = range(len(path.sizes), 0, -1) if len(path.sizes) > 1 else [0]
        by_level = list(zip(levels, path.sizes, strict=True))
        self.latent_levels = tuple(level for level, size in by_level for _ in range(size))
        self.usage_trackers = [
            CodeUsage(path.codebook_size, f"_{level}" if level else "") for level in levels
        ]
        self.level_trackers = [
            tf_keras.metrics.Mean(name=f"kl_{level}") for level in levels if level
        ]

    @property
    def path(self) -> CodePath:
        """From features to codes, and from codes to what the decoder sees."""
        return self.encoder.layers[-1].path

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """Without the prior's, which are fitted when the model is trained."""
        prior = {id(weight) for weight in self.prior_layer.weights}
        return [weight for weight in super().trainable_weights if id(weight) not in prior]

    @property
    def learned_weights(self) -> list[tf.Variable]:
        """As `CompiledModel.learned_weights`, with the codebooks."""
        codes = [weight for each in self.path.quantizers for weight in each.running]
        return [*self.trainable_weights, *codes]

    def _decoded(self, posterior: tfd.Distribution, training: bool) -> tfd.Distribution:
        """As `VAE._decoded`, with a gradient through the codes; updates their metrics."""
        coded = posterior.coded
        for tracker, found in zip(self.usage_trackers, coded.levels, strict=True):
            tracker.update_state(found.codes)
        for tracker, kl in zip(self.level_trackers, posterior.counted_levels, strict=False):
            tracker.update_state(kl)
        return self.decoder.layers[-1](self.trunk(coded.embedded, training=training))

    def _calibrate(self, done: passes.Pass) -> None:
        super()._calibrate(done)
        if done.posterior is not None:
            self.path.update(done.posterior.coded)

    def predict_step(self, data: Any) -> tf.Tensor:
        """The mean of p(x|z) at the codes of x, [B, H, W, C]: what `predict` returns."""
        images, _, _ = tf_keras.utils.unpack_x_y_sample_weight(data)
        return self.decoder(self._posterior_of(images).mode(), training=False).mean()

    def get_config(self) -> dict[str, Any]:
        features = params_model(self.encoder)
        return {
            "name": self.name,
            "features": tf_keras.layers.serialize(features),
            "path": tf_keras.layers.serialize(self.path),
            "trunk": tf_keras.layers.serialize(self.trunk),
            "likelihood": tf_keras.layers.serialize(self.decoder.layers[-1]),
            "prior": tf_keras.layers.serialize(self.prior_layer),
            "beta": float(self._regularizer.weight.numpy()),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "QuantizedVAE":
        made = {
            part: tf_keras.layers.deserialize(config[part], custom_objects)
            for part in ("features", "path", "trunk", "likelihood", "prior")
        }
        return cls(**{**config, **made})


@tf_keras.saving.register_keras_serializable("tfp_vae")
class QuantizedVAE2(QuantizedVAE):
    """Two levels of codes, the upper one at half the resolution (Razavi et al., 2019)."""
