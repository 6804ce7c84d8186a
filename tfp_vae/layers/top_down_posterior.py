"""q(z|x) of a hierarchy as one distribution over the latents of all levels."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution

if TYPE_CHECKING:
    from tfp_vae.layers.hierarchical import HierarchicalPosterior

# A level's latents u_l [B, D_l], and log q(u_l | u_>l, x) [B], by its index (0 is the top) and q.
Choose = Callable[[int, tfd.Distribution], tuple[tf.Tensor, tf.Tensor]]


class Pass(NamedTuple):
    """What one pass down the levels finds; lists have the top level first."""

    latents: tf.Tensor  # u, [B, D]
    levels: list[tf.Tensor]  # its parts, [B, D_l] each
    conditionals: list[tfd.Distribution]  # q(u_l | u_>l, x)
    log_posterior: tf.Tensor  # log q(u|x), [B], nats
    state: tf.Tensor  # the last state of the top-down path


class TopDownPosterior(OwnDistribution):
    """q(u|x) = q(u_L|x) ... q(u_1 | u_>1, x), an event being [D], the top level first.

    Every draw or density takes one pass down the levels, on the path that the decoder takes too.
    The last pass of `draw` is kept: log q at its latents, and what the decoder makes of them, is
    known without another.

    Args:
      layer: what makes each level's distribution.
      features: of the images, float32 [B, F].
      added: what they add to the heads of the levels, as the layer finds it of them.
    """

    def __init__(
        self,
        layer: "HierarchicalPosterior",
        features: tf.Tensor,
        added: list[tf.Tensor] | None = None,
        name: str = "TopDownPosterior",
    ) -> None:
        # TFP slices and copies everything in `parameters`; the layer must stay out.
        super().__init__({"features": features, "name": name}, reparameterized=True)
        self._features = features
        # In a namespace, which neither copies of the distribution nor tf.Module's tracking divide.
        self._kept = SimpleNamespace(layer=layer, added=added, drawn=None)

    @property
    def layer(self) -> "HierarchicalPosterior":
        """What makes each level's distribution."""
        return self._kept.layer

    @property
    def drawn(self) -> Pass | None:
        """The last pass of `draw`; None before the first."""
        return self._kept.drawn

    def walk(self, choose: Choose) -> Pass:
        """One pass down the levels, whose latents `choose` decides."""
        levels, conditionals, log_probs = [], [], []
        added = self._added()

        def latents_of(index: int, state: tf.Tensor) -> tf.Tensor:
            conditional = self.layer.conditional(index, state, added[index])
            latents, log_prob = choose(index, conditional)
            levels.append(latents)
            conditionals.append(conditional)
            log_probs.append(log_prob)
            return latents

        state = self.layer.top_down.walk(latents_of, tf.shape(self._features)[0])
        return Pass(tf.concat(levels, -1), levels, conditionals, tf.add_n(log_probs), state)

    def draw(self, seed: tf.Tensor) -> Pass:
        """A draw, as a function of `seed`, int32 or int64 [2]."""

        def choose(index: int, q: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
            of_level = tf.random.experimental.stateless_fold_in(seed, index)
            return self.layer.families[index].sample_and_log_prob(q, of_level)

        self._kept.drawn = self.walk(choose)
        return self._kept.drawn

    def at(self, latents: tf.Tensor) -> Pass:
        """The pass with these latents, [B, D]."""
        if self.drawn is not None and latents is self.drawn.latents:
            return self.drawn
        parts = tf.split(latents, self.layer.top_down.sizes, axis=-1)
        return self.walk(lambda index, q: (parts[index], q.log_prob(parts[index])))

    def top(self) -> tfd.Distribution:
        """q(u_L|x), over [B, D_L]."""
        top_down = self.layer.top_down
        first = top_down.enter(0, top_down.first(tf.shape(self._features)[0]))
        return self.layer.conditional(0, first, self._added()[0])

    def repeated(self, count: tf.Tensor) -> "TopDownPosterior":
        """The posterior of `count` copies of each image, all of the first image first."""
        return self._of(lambda part: tf.repeat(part, count, axis=0))

    def _of(self, copies: Callable[[tf.Tensor], tf.Tensor]) -> "TopDownPosterior":
        """The posterior of copies of the images."""
        features, *added = map(copies, (self._features, *self._added()))
        return TopDownPosterior(self.layer, features, added)

    def _added(self) -> list[tf.Tensor]:
        """What the features add to the head of each level."""
        return self._kept.added or self.layer.added_by_features(self._features)

    def _at_means(self) -> Pass:
        """The pass in which each level has its mean, given the means of those above."""
        return self.walk(lambda _, q: (q.mean(), tf.zeros(tf.shape(self._features)[:1])))

    def _mean(self) -> tf.Tensor:
        return self._at_means().latents

    def _stddev(self) -> tf.Tensor:
        return tf.concat([q.stddev() for q in self._at_means().conditionals], axis=-1)

    def _variance(self) -> tf.Tensor:
        return tf.square(self._stddev())

    def _several(self, count: tf.Tensor) -> "TopDownPosterior":
        """The posterior of `count` copies of the batch, one after the other."""
        return self._of(lambda part: tf.tile(part, [count, *[1] * (part.shape.rank - 1)]))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return self._sample_and_log_prob([n], seed)[0]

    def _sample_and_log_prob(self, sample_shape: Any, seed: Any) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.reduce_prod(tf.convert_to_tensor(sample_shape, tf.int32))
        drawn = self._several(count).draw(tfp.random.sanitize_seed(seed))
        shape = tf.concat([sample_shape, tf.shape(self._features)[:1]], axis=0)
        latents = tf.reshape(drawn.latents, tf.concat([shape, [self._size]], axis=0))
        return latents, tf.reshape(drawn.log_posterior, shape)

    def _log_prob(self, latents: tf.Tensor) -> tf.Tensor:
        if self.drawn is not None and latents is self.drawn.latents:
            return self.drawn.log_posterior
        batch = tf.shape(self._features)[:1]
        shape = tf.broadcast_dynamic_shape(tf.shape(latents)[:-1], batch)
        latents = tf.broadcast_to(latents, tf.concat([shape, [self._size]], axis=0))
        flat = tf.reshape(latents, [-1, self._size])
        count = tf.shape(flat)[0] // tf.maximum(batch[0], 1)
        return tf.reshape(self._several(count).at(flat).log_posterior, shape)

    @property
    def _size(self) -> int:
        return sum(self.layer.top_down.sizes)

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self._size])

    def _batch_shape(self) -> tf.TensorShape:
        return self._features.shape[:1]

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.shape(self._features)[:1]
