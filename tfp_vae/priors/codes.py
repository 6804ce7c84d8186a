"""p(z) over codes: uniform until it is fitted, then an autoregressive network."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from tensorflow_probability import distributions as tfd

from tfp_vae.distributions import OwnDistribution
from tfp_vae.errors import InputError
from tfp_vae.networks.causal import CausalNetwork
from tfp_vae.priors.base import Prior

HEAD_SIZE = 32  # channels of a head of the attention


class CodeSequence(OwnDistribution):
    """p(z_1) p(z_2|z_1) ... p(z_D|z_<D) of codes, by a network; uniform where it is not fitted.

    Args:
      network: the conditionals.
      fitted: 1 where the network has been fitted, else 0, a scalar.
    """

    def __init__(self, network: CausalNetwork, fitted: Any, name: str = "CodeSequence") -> None:
        super().__init__({"network": network, "fitted": fitted, "name": name}, dtype=tf.int32)
        self._network, self._fitted = network, fitted

    def _batch_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _batch_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([self._network.count])

    def log_probs(self, codes: tf.Tensor) -> tf.Tensor:
        """Log p(z_i | z_<i) of codes int32 [N, D]: [N, D], nats."""
        # A network that is not fitted is uniform too; this saves its cost.
        uniform = -tf.math.log(tf.cast(self._network.codebook_size, tf.float32))
        return tf.cond(
            self._fitted > 0.5,
            lambda: -tf.nn.sparse_softmax_cross_entropy_with_logits(codes, self._network(codes)),
            lambda: tf.fill(tf.shape(codes), uniform),
        )

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(z, [-1, self._network.count])
        return tf.reshape(tf.reduce_sum(self.log_probs(flat), axis=-1), tf.shape(z)[:-1])

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        return self._network.sample(n, tfp.random.sanitize_seed(seed))


@tf_keras.saving.register_keras_serializable("tfp_vae")
class CodePrior(Prior):
    """Codes in one sequence, the top level first: p(top) p(bottom | top).

    It is uniform, log p(z) = -D log K, until `fitted` is set and the network trained
    (`tfp_vae.models.code_prior`). Its weights are not trained with the model's.

    Args:
      sizes: the number of codes of each level, the top one first.
      codebook_size: K.
      width: channels of a position in the network, a multiple of `HEAD_SIZE` or below it.
      blocks: of the network.

    Raises:
      InputError: another width.

    Attributes:
      fitted: a variable, 1 where the network has been fitted, else 0.
    """

    latent_dtype = tf.int32

    def __init__(
        self,
        sizes: Sequence[int],
        codebook_size: int,
        width: int = 128,
        blocks: int = 4,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("latent_size", None)
        super().__init__(sum(sizes), **kwargs)
        if width > HEAD_SIZE and width % HEAD_SIZE:
            raise InputError(
                f"prior_width {width}: expected a multiple of {HEAD_SIZE}, or a number below it"
            )
        self.sizes, self.codebook_size = list(sizes), int(codebook_size)
        self.width, self.blocks = int(width), int(blocks)

    def build(self, input_shape: Any) -> None:
        self.network = CausalNetwork(
            self.sizes,
            self.codebook_size,
            self.width,
            max(self.width // HEAD_SIZE, 1),
            self.blocks,
            dtype="float32",
            name="network",
        )
        with tf.name_scope(self.network.name):
            self.network.build((None, self.latent_size))
        self.network.built = True
        self.fitted = self.add_weight("fitted", (), initializer="zeros", trainable=False)
        super().build(input_shape)

    def distribution(self) -> tfd.Distribution:
        return CodeSequence(self.network, tf.convert_to_tensor(self.fitted))

    @property
    def family(self) -> str:
        """What it is now: "uniform" or "autoregressive"."""
        return "autoregressive" if self.fitted.numpy() else "uniform"

    def get_config(self) -> dict[str, Any]:
        names = ("sizes", "codebook_size", "width", "blocks")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
