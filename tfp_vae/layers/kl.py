"""KL(q(z|x) || p(z)) as an activity regularizer: counted once, averaged over the batch."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfpl

from tfp_vae import divergences, objectives
from tfp_vae.errors import InputError
from tfp_vae.priors.base import Prior
from tfp_vae.priors.fixed import as_prior
from tfp_vae.priors.serialization import deserialize


@tf_keras.saving.register_keras_serializable("tfp_vae")
class KLDivergenceRegularizer(tfpl.KLDivergenceRegularizer):
    """Adds `weight * mean over the batch of KL(q(z|x) || distribution_b)` to the loss, in nats.

    The drop-in for `tfp.layers.KLDivergenceRegularizer`, with the same arguments. Keras calls an
    activity regularizer on everything a distribution layer returns, which is the distribution and
    its value; the stock class returns the KL for both, so that it counts twice
    (tensorflow/probability #1215). This one returns the KL for the distribution, 0 for the value.

    Args:
      distribution_b: the prior: a `tfp_vae.Prior`, a `tfd.Distribution` with fixed parameters, or
        a callable that returns one.
      use_exact_kl: True for the closed form, False for `log q(z) - log p(z)` at the layer's own
        draw, None for the closed form where TFP has one.
      test_points_reduce_axis: axes of several draws to average over, for the Monte Carlo form.
      test_points_fn: what draws them; only the default can be saved.
      weight: beta, a number; None is 1. It becomes a float32 variable that training may move.
      free_bits: the KL that each latent may have at no cost, nats: what is added is then `weight`
        times `objectives.free_bits`. The KL is known for each latent where both distributions are
        factorised Normals and the form is not Monte Carlo; otherwise the whole KL is one group,
        with an allowance of `free_bits` times the number of latents.

    Attributes:
      prior: `distribution_b` as a `tfp_vae.Prior`; its weights are trained with the encoder's.
      weight: the variable.
    """

    def __init__(
        self,
        distribution_b: Prior | tfd.Distribution | Callable[[], tfd.Distribution],
        use_exact_kl: bool | None = False,
        test_points_reduce_axis: Any = (),
        test_points_fn: Callable[[tfd.Distribution], tf.Tensor] = tf.convert_to_tensor,
        weight: float | None = None,
        free_bits: float = 0.0,
    ) -> None:
        weight = tf.Variable(
            1.0 if weight is None else weight, trainable=False, dtype=tf.float32, name="kl_weight"
        )
        self.prior = as_prior(distribution_b)
        self.free_bits = float(free_bits)
        super().__init__(self.prior, use_exact_kl, test_points_reduce_axis, test_points_fn, weight)

    @property
    def distribution_b(self) -> tfd.Distribution:
        """The prior now."""
        return self.prior()

    @property
    def form(self) -> str:
        """What `use_exact_kl` asks for, one of `divergences.KL_FORMS`."""
        return {True: "exact", False: "monte_carlo", None: "auto"}[self.use_exact_kl]

    def divergence(
        self, distribution_a: tfd.Distribution, test_points: tf.Tensor | None = None
    ) -> tf.Tensor:
        """KL(q || p) of each image, in nats, without the weight: [B].

        Args:
          distribution_a: q, a `tfd.Distribution` over [B, D].
          test_points: one draw from q for each image, [B, D], for the Monte Carlo form; None is
            `test_points_fn(q)`, averaged over `test_points_reduce_axis`.

        Raises:
          InputError: `use_exact_kl` is True, and TFP has no closed form for q and p.
        """
        own = test_points is None

        def draw() -> tf.Tensor:
            return self.test_points_fn(distribution_a) if own else test_points

        kl, form = divergences.kl_divergence(distribution_a, self.prior(), draw, self.form)
        several = own and form == "monte_carlo"
        return tf.reduce_mean(kl, axis=self.test_points_reduce_axis) if several else kl

    def penalty(self, distribution_a: tfd.Distribution, kl: tf.Tensor) -> tf.Tensor:
        """What the KL adds to the loss, with the weight and the free bits: a scalar, nats.

        Args:
          distribution_a: q, a `tfd.Distribution` over [B, D].
          kl: its `divergence`, [B].
        """
        if not self.free_bits:
            return self.weight * tf.reduce_mean(kl)
        prior = self.prior()
        exact = self.form != "monte_carlo"
        groups = divergences.kl_per_latent(distribution_a, prior) if exact else None
        allowance = self.free_bits
        if groups is None:
            groups, allowance = tf.reshape(kl, [-1, 1]), allowance * prior.event_shape[0]
        return self.weight * objectives.free_bits(groups, allowance)

    def __call__(self, distribution_a: tfd.Distribution | tf.Tensor) -> tf.Tensor:
        if not isinstance(distribution_a, tfd.Distribution):
            return tf.zeros([])  # the layer's value: its distribution has been counted
        kl = self.divergence(distribution_a)
        distribution_a.counted_kl = kl  # for the logs: a prior may call the encoder to find it
        penalty = self.penalty(distribution_a, kl)
        # Keras divides by the first axis of the value, which for `sample(10)` is not the batch.
        leading_axis = tf.shape(tf.convert_to_tensor(distribution_a))[0]
        return penalty * tf.cast(leading_axis, penalty.dtype)

    def get_config(self) -> dict[str, Any]:
        if self.test_points_fn is not tf.convert_to_tensor:
            raise ValueError(
                "a KLDivergenceRegularizer with its own test_points_fn cannot be saved"
            )
        return {
            "distribution_b": tf_keras.layers.serialize(self.prior),
            "use_exact_kl": self.use_exact_kl,
            "test_points_reduce_axis": self.test_points_reduce_axis,
            "weight": float(tf_keras.backend.get_value(self.weight)),
            "free_bits": self.free_bits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "KLDivergenceRegularizer":
        return cls(**{**config, "distribution_b": deserialize_prior(config["distribution_b"])})


def deserialize_prior(config: dict[str, Any] | Prior) -> Prior:
    """The prior in a config: a layer's, or of version 0.1.0 a distribution's alone."""
    if isinstance(config, dict) and "distribution" in config:
        config = deserialize(config)
    return as_prior(tf_keras.layers.deserialize(config) if isinstance(config, dict) else config)


def regularizer_of(encoder: tf_keras.Model) -> KLDivergenceRegularizer | None:
    """The one `KLDivergenceRegularizer` of a model, or None.

    Raises:
      InputError: it is the stock one, or there are several.
    """
    found = [part for part in encoder.submodules if isinstance(part, tfpl.KLDivergenceRegularizer)]
    if any(not isinstance(part, KLDivergenceRegularizer) for part in found):
        raise InputError(
            "encoder has a tfp.layers.KLDivergenceRegularizer, which counts the KL twice: "
            "use tfp_vae.KLDivergenceRegularizer"
        )
    if len(found) > 1:
        raise InputError(f"encoder has {len(found)} KL regularizers: expected one, at its output")
    return found[0] if found else None
