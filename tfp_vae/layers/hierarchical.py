"""The posterior of a hierarchy as a layer, and its KL, level by level."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae import divergences, objectives
from tfp_vae.errors import InputError
from tfp_vae.layers import POSTERIORS
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.flow_posterior import FlowPosterior
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.layers.packed_normal import diagonal_places
from tfp_vae.layers.posteriors import MIN_SCALE, IndependentNormal, MultivariateNormalTriL
from tfp_vae.layers.top_down_posterior import Pass, TopDownPosterior
from tfp_vae.networks import pyramid
from tfp_vae.networks.blocks import build
from tfp_vae.networks.top_down import TopDown
from tfp_vae.priors.hierarchical import HierarchicalPrior

UNIT = math.log(math.expm1(1.0 - MIN_SCALE))  # the raw parameter of a standard deviation of 1
LEAST_KL = 1e-3  # nats: with it, levels without a KL have shares too


@tf_keras.saving.register_keras_serializable("tfp_vae")
class HierarchicalPosterior(DistributionLayer):
    """q(u|x), top-down on the path of the decoder, from features of the image.

    At each level the state of the path and the features decide a distribution of u_l, that is of
    z_l relative to p(z_l | z_>l): N(0, I) is the prior (Sonderby et al., "Ladder variational
    autoencoders", 2016; Vahdat and Kautz, "NVAE", 2020). It starts close to that.

    `mean` is that of each level given the means of those above, and `stddev` the standard
    deviations there.

    Args:
      top_down: the path, which the decoder shares; in a config, a layer's.
      family: of each level, a name in `tfp_vae.layers.POSTERIORS`.
      options: of that part, as its class takes them.

    Raises:
      InputError: a family without a density; on feature maps, another one than independent_normal.
    """

    def __init__(
        self,
        top_down: TopDown | dict[str, Any],
        family: str = "independent_normal",
        options: dict[str, Any] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        DistributionLayer.__init__(self, **{"convert_to_tensor_fn": "sample", **kwargs}, seed=seed)
        given: Any = top_down
        self.top_down: TopDown = (
            tf_keras.layers.deserialize(given) if isinstance(given, dict) else given
        )
        self.family, self.options = family, dict(options or {})
        sizes, shapes = self.top_down.sizes, self.top_down.level_shapes
        on_maps = len(shapes[0]) > 1
        if on_maps and family != "independent_normal":
            raise InputError(
                f"posterior {family}: for vectors of latents: expected independent_normal "
                "for levels on feature maps"
            )
        part = POSTERIORS[family].load()
        self.families = [
            part(size, convert_to_tensor_fn="mean", seed=0, **self.options) for size in sizes
        ]
        if not self.families[0].has_density:
            names = [name for name, part in POSTERIORS.items() if part.classes()[0].has_density]
            raise InputError(
                f"posterior {family} has no density: expected {' or '.join(names)} "
                "for model hierarchical"
            )
        self.starts = [
            _start(layer, size) for layer, size in zip(self.families, sizes, strict=True)
        ]
        self.heads = [
            self.top_down.posterior_head(index, len(start) // math.prod(shape[:-1]))
            for index, (start, shape) in enumerate(zip(self.starts, shapes, strict=True))
        ]

    def build(self, input_shape: Any) -> None:
        build(self.top_down, sum(self.top_down.sizes))  # before the decoder, which shares it
        for index, head in enumerate(self.heads):
            self.top_down.build_head(head, index)
            build(self.families[index], len(self.starts[index]))
        super().build(input_shape)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return TopDownPosterior(self, tf.convert_to_tensor(params))

    def added_by_features(self, features: tf.Tensor) -> list[tf.Tensor]:
        """What the features [B, F] add to the head of each level: the same for all draws."""
        shapes = self.top_down.feature_shapes
        flat = tf.split(features, [math.prod(shape) for shape in shapes], axis=-1)
        parts = [tf.reshape(part, [-1, *shape]) for part, shape in zip(flat, shapes, strict=True)]
        of_levels = zip(self.heads, self.top_down.feature_of, strict=True)
        return [head.of_features(parts[place]) for head, place in of_levels]

    def conditional(self, index: int, state: tf.Tensor, added: tf.Tensor) -> tfd.Distribution:
        """q(u_l | u_>l, x) over [B, D_l].

        Args:
          index: of the level, 0 is the top.
          state: of the top-down path there.
          added: what `added_by_features` returns for it.
        """
        raw = self.heads[index](state, added)
        raw = tf.cast(raw, tf.float32)
        if raw.shape.rank > 2:
            channels = self.top_down.level_shapes[index][-1]
            raw = pyramid.by_parameter(raw, raw.shape[-1] // channels)
        return self.families[index].make_distribution(raw + self.starts[index])

    def sample(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tf.Tensor:
        return distribution.draw(seed).latents

    def sample_and_log_prob(
        self, distribution: tfd.Distribution, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        drawn: Pass = distribution.draw(seed)
        return drawn.latents, drawn.log_posterior

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "top_down": tf_keras.layers.serialize(self.top_down),
            "family": self.family,
            "options": self.options,
        }


def _start(layer: DistributionLayer, size: int) -> np.ndarray:
    """Parameters of N(0, I), where the layer has a scale to set; else zeros."""
    start = np.zeros(int(layer.params_size(size)), np.float32)
    if isinstance(layer, IndependentNormal | FlowPosterior):
        start[size : 2 * size] = UNIT
    if isinstance(layer, MultivariateNormalTriL):
        start[size + diagonal_places(size)] = UNIT
    return start


@tf_keras.saving.register_keras_serializable("tfp_vae")
class HierarchicalKL(KLDivergenceRegularizer):
    """The KL of a hierarchy: the sum over levels of E KL(q(u_l | u_>l, x) || p(u_l)).

    At each level the KL given a draw of the levels above is in closed form where TFP has one,
    unless the form is "monte_carlo"; the expectation over the levels above is that draw.

    Args:
      level_weights: [L], the top level first: the share of `weight` that each level has in the
        loss; None is 1 for all. It becomes a variable, which a warm-up of levels moves.

    Attributes:
      balance: a variable in [0, 1], 0 at first, which `callbacks.KLBalance` moves; not in configs.
        At 1 the weight of a level is multiplied by its KL, of the batch, over the mean of all
        levels (as Vahdat and Kautz, "NVAE", 2020, do while the KL warms up, but without their
        factor for the resolution): a level that is little used costs little.
    """

    prior: HierarchicalPrior

    def __init__(
        self, *args: Any, level_weights: Sequence[float] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        shares = [1.0] * len(self.prior.sizes) if level_weights is None else level_weights
        self.level_weights = tf.Variable(
            shares, trainable=False, dtype=tf.float32, name="kl_level_weights"
        )
        self.balance = tf.Variable(0.0, trainable=False, dtype=tf.float32, name="kl_balance")

    def level_divergences(
        self, posterior: tfd.Distribution, latents: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """The KL of each level for each image, [B] each in nats, the top level first.

        Args:
          posterior: q(u|x), as a `HierarchicalPosterior` returns it.
          latents: a draw from it, [B, D]; None is its own.
        """
        found = posterior.at(tf.convert_to_tensor(posterior) if latents is None else latents)
        parts = zip(found.conditionals, self.prior.levels(), found.levels, strict=True)
        return [self._of_level(q, p, latents) for q, p, latents in parts]

    def _of_level(
        self, posterior: tfd.Distribution, prior: tfd.Distribution, latents: tf.Tensor
    ) -> tf.Tensor:
        return divergences.kl_divergence(posterior, prior, lambda: latents, self.form)[0]

    def penalty(self, distribution_a: tfd.Distribution, kl: tf.Tensor) -> tf.Tensor:
        """As `KLDivergenceRegularizer`; each level has its own weight and its own free bits.

        Of several draws only the sum over the levels is known: it has neither.
        """
        counted = getattr(distribution_a, "counted_levels", None)  # of the layer's own draw
        if counted is None:
            return super().penalty(distribution_a, kl)
        levels = tf.stack(counted, axis=-1)
        weights = self.weight * self.level_weights * self._balanced(levels)
        if not self.free_bits:
            return tf.reduce_sum(weights * tf.reduce_mean(levels, axis=0))
        sizes = tf.constant(self.prior.sizes, tf.float32)
        return objectives.free_bits(levels, self.free_bits * sizes, weights)

    def _balanced(self, levels: tf.Tensor) -> tf.Tensor:
        """What `balance` multiplies the weights by, [L], for KLs [B, L]."""
        means = tf.stop_gradient(tf.reduce_mean(levels, axis=0)) + LEAST_KL
        return 1.0 + self.balance * (means / tf.reduce_mean(means) - 1.0)

    def divergence(
        self, distribution_a: tfd.Distribution, test_points: tf.Tensor | None = None
    ) -> tf.Tensor:
        levels = self.level_divergences(distribution_a, test_points)
        if test_points is None:
            distribution_a.counted_levels = levels  # for `penalty` and the metrics
        return tf.add_n(levels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "level_weights": self.level_weights.numpy().tolist()}
