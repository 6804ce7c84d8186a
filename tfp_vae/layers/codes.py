"""q(z|x) with all mass on one code of each position, and its KL."""

from types import SimpleNamespace
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution
from tfp_vae.layers.base import DistributionLayer
from tfp_vae.layers.code_path import Coded, CodePath
from tfp_vae.layers.kl import KLDivergenceRegularizer
from tfp_vae.networks.blocks import build
from tfp_vae.priors.codes import CodeSequence


class CodePoint(OwnDistribution):
    """All mass on the codes of an image: log q(z|x) is 0 at them, -inf elsewhere.

    Args:
      codes: int32 [B, D].
      coded: what the path has found with them.
    """

    def __init__(self, codes: tf.Tensor, coded: Coded, name: str = "CodePoint") -> None:
        super().__init__({"codes": codes, "name": name}, dtype=tf.int32)
        self._codes = codes
        # TFP slices and copies everything in `parameters`; what was found must stay out.
        self._kept = SimpleNamespace(coded=coded)

    @property
    def coded(self) -> Coded:
        """What the path has found for the images."""
        return self._kept.coded

    def _batch_shape(self) -> tf.TensorShape:
        return self._codes.shape[:-1]

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.shape(self._codes)[:-1]

    def _event_shape(self) -> tf.TensorShape:
        return self._codes.shape[-1:]

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        same = tf.reduce_all(tf.equal(z, self._codes), axis=-1)
        return tf.where(same, 0.0, -float("inf"))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return tf.repeat(self._codes[tf.newaxis], n, axis=0)

    def _mode(self) -> tf.Tensor:
        return self._codes


@tfd.RegisterKL(CodePoint, CodeSequence)
def _kl(q: CodePoint, p: CodeSequence, name: str | None = None) -> tf.Tensor:
    """The entropy of q is 0: the KL is -log p(z) at the codes, [B], nats."""
    return -p.log_prob(q.mode())


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CodePosterior(DistributionLayer):
    """The codes of an image, from its features.

    Args:
      path: from features to codes, shared with the decoder; in a config, a layer's.
    """

    discrete = True
    value_dtype = "int32"

    def __init__(self, path: CodePath | dict[str, Any], **kwargs: Any) -> None:
        DistributionLayer.__init__(self, **{"convert_to_tensor_fn": "mode", **kwargs})
        given: Any = path
        self.path: CodePath = (
            tf_keras.layers.deserialize(given) if isinstance(given, dict) else given
        )

    def build(self, input_shape: Any) -> None:
        build(self.path, sum(self.path.sizes))
        super().build(input_shape)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        coded = self.path.quantize(tf.convert_to_tensor(params))
        return CodePoint(coded.codes, coded)

    def centre(self, distribution: tfd.Distribution) -> tf.Tensor:
        return distribution.mode()

    def sample(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tf.Tensor:
        return distribution.mode()

    def sample_and_log_prob(
        self, distribution: tfd.Distribution, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        codes = distribution.mode()
        return codes, tf.zeros(tf.shape(codes)[:1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "path": tf_keras.layers.serialize(self.path)}


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CodeKL(KLDivergenceRegularizer):
    """-log p(codes), a constant of the step, and the commitment, which has a gradient."""

    def divergence(
        self, distribution_a: tfd.Distribution, test_points: tf.Tensor | None = None
    ) -> tf.Tensor:
        # Codes have no gradient, and the prior is fitted afterwards.
        each = tf.stop_gradient(-self.prior().log_probs(distribution_a.mode()))
        of_levels = tf.split(each, self.prior.sizes, axis=-1)
        levels = [tf.reduce_sum(part, axis=-1) for part in of_levels]
        distribution_a.counted_levels = levels  # for the metrics
        return tf.add_n(levels)

    def penalty(self, distribution_a: tfd.Distribution, kl: tf.Tensor) -> tf.Tensor:
        """As `KLDivergenceRegularizer`, plus the mean of `Coded.commitment`."""
        return super().penalty(distribution_a, kl) + tf.reduce_mean(distribution_a.coded.commitment)
