"""Sparse codes: deterministic posteriors of which few units are active for each image."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae import objectives
from tfp_vae.errors import InputError
from tfp_vae.layers.base import bound
from tfp_vae.layers.input_noise import InputNoise
from tfp_vae.layers.posteriors import Deterministic

# Nats an image for each nat of KL from the target. On digits, 64 units with the target 0.05 end at
# a mean activity of 0.073 with 3, of 0.054 with 10, which costs 4 nats of reconstruction.
SPARSITY_WEIGHT = 10.0
CODE_NOISE = 0.1  # standard deviation of the noise on activities in (0, 1)
ACTIVE = 0.5  # the activity above which a sigmoid unit is active
MIN_PROBABILITY = 1e-6  # keeps the KL finite in float32 where a unit is never or always active


@tf_keras.saving.register_keras_serializable("tfp_vae")
class SparsityRegularizer(tf_keras.regularizers.Regularizer):
    """Adds `weight * sum over units of KL(Bernoulli(target) || Bernoulli(mean activity))`, nats.

    The mean activity of a unit is over the batch (Ng, "Sparse autoencoder", CS294A lecture notes,
    2011): over the global batch under `tf.distribute`, so that the sum does not depend on the
    number of replicas. An activity regularizer of `SigmoidCode`, or of any Keras layer with one
    axis of sigmoid units. It is part of `loss` alone.

    Args:
      target: the mean activity of each unit that costs nothing, in (0, 1).
      weight: Ng's beta.

    Raises:
      InputError: a target that is not in (0, 1), or a weight that is not positive.
    """

    def __init__(self, target: float, weight: float = SPARSITY_WEIGHT) -> None:
        if not 0.0 < target < 1.0:
            raise InputError(f"sparsity {target}: expected a number in (0, 1)")
        if not 0.0 < weight < float("inf"):
            raise InputError(f"sparsity weight {weight}: expected a positive number")
        self.target, self.weight = float(target), float(weight)

    def penalty(self, activity: tf.Tensor) -> tf.Tensor:
        """What is added to the loss for the activities [B, D] of a batch: a scalar, nats.

        Its gradient is by the replica's own activities, so that the mean over the replicas is the
        gradient by those of the global batch.
        """
        own = tf.reduce_mean(tf.cast(activity, tf.float32), axis=0)
        of_all = objectives.mean_of_replicas(own, tf.shape(activity)[0])
        mean = own + tf.stop_gradient(of_all - own)
        target, found = (tfd.Bernoulli(probs=_inside(value)) for value in (self.target, mean))
        return self.weight * tf.reduce_sum(tfd.kl_divergence(target, found))

    def __call__(self, output: tfd.Distribution | tf.Tensor) -> tf.Tensor:
        if isinstance(output, tfd.Distribution):
            return tf.zeros([])  # Keras gives the layer's value too, which is counted
        # Keras divides by the number of images.
        return self.penalty(output) * tf.cast(tf.shape(output)[0], tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"target": self.target, "weight": self.weight}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class SigmoidCode(Deterministic):
    """A code of D sigmoid units, from their D logits; its activities are in (0, 1).

    To be sparse it needs a `SparsityRegularizer`, and a decoder that begins with `CodeNoise`.
    """

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        return super().make_distribution(tf.math.sigmoid(bound(tf.convert_to_tensor(params))))

    @staticmethod
    def is_active(code: tf.Tensor) -> tf.Tensor:
        """Which units [B, D] have an activity above `ACTIVE`."""
        return code > ACTIVE


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CodeNoise(InputNoise):
    """Adds Normal noise to a `SigmoidCode` before it is decoded, in training only.

    Without noise a decoder tells apart activities that hardly differ: the mean activity is then at
    its target, and every unit is a little active for every image. Noise makes units nearly 0 or 1
    (Salakhutdinov and Hinton, "Semantic hashing", 2009), which replaces Ng's weight decay.
    """

    stream = 2**30 + 2

    def __init__(self, stddev: float = CODE_NOISE, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(stddev, seed, **kwargs)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class KSparseCode(Deterministic):
    """A linear code whose largest k units stay; the others are 0, in training and evaluation.

    The gradient passes through the units that stay (Makhzani and Frey, "k-sparse autoencoders",
    2013). Of equal units the first stay, so that they are k.

    Args:
      event_size: D, the number of units.
      active_units: k.

    Raises:
      InputError: a k that is not in 1..D.
    """

    def __init__(self, event_size: int, active_units: int, **kwargs: Any) -> None:
        if not 1 <= active_units <= event_size:
            raise InputError(
                f"active_units {active_units}: expected 1 to {event_size}, the number of latents"
            )
        self.active_units = int(active_units)
        super().__init__(event_size, **kwargs)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        params = bound(tf.convert_to_tensor(params))
        # By index: a k-th value that several units have would leave more than k of them.
        largest = tf.math.top_k(params, self.active_units, sorted=False).indices
        kept = tf.reduce_sum(tf.one_hot(largest, self.event_size), axis=-2)
        return super().make_distribution(params * kept)

    @staticmethod
    def is_active(code: tf.Tensor) -> tf.Tensor:
        """Which units [B, D] are not 0."""
        return code != 0

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "active_units": self.active_units}


def deterministic(
    event_size: int, sparsity: float = 0.0, active_units: int = 0, **kwargs: Any
) -> Deterministic | SigmoidCode | KSparseCode:
    """The posterior of an autoencoder: plain, or sparse in one of two ways.

    Args:
      event_size: D, the number of latents.
      sparsity: the target mean activity of a `SigmoidCode`; 0 for none.
      active_units: k of a `KSparseCode`; 0 for none.
      **kwargs: as `Deterministic` takes them.

    Raises:
      InputError: both are given, or k > D.
    """
    if sparsity and active_units:
        raise InputError(f"sparsity {sparsity} with active_units {active_units}: give one of them")
    if sparsity:
        regularizer = SparsityRegularizer(sparsity)
        return SigmoidCode(event_size, activity_regularizer=regularizer, **kwargs)
    if active_units:
        return KSparseCode(event_size, active_units, **kwargs)
    return Deterministic(event_size, **kwargs)


def _inside(probability: float | tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(probability, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
