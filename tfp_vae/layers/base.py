"""What every distribution layer here adds to `tfp.layers.DistributionLambda`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import distributions as tfd
from tensorflow_probability import layers as tfpl

from tfp_vae.networks.counted_draws import CountedDraws

# Largest magnitude of a distribution parameter. Its square, summed over any event, is finite in
# float32, so that no finite (or infinite) input turns a KL or a log-likelihood into NaN.
PARAMETER_BOUND = 1e6

_CONVERT_TO_TENSOR_FNS = {
    "sample": tfd.Distribution.sample,
    "mean": tfd.Distribution.mean,
    "mode": tfd.Distribution.mode,
    "stddev": tfd.Distribution.stddev,
    "variance": tfd.Distribution.variance,
    "logits": tfd.Bernoulli.logits,
    "probs": tfd.Bernoulli.probs,
}


DistributionFn = Callable[[tf.Tensor], tfd.Distribution]


class Draws(NamedTuple):
    """K draws from q(z|x) for each of B images."""

    latents: tf.Tensor
    """[K, B, D]."""
    log_posterior: tf.Tensor
    """log q(z|x) there, with its gradient by every path: [K, B], nats."""
    log_prob: Callable[[tf.Tensor], tf.Tensor]
    """log q(z|x) [K, B] at any latents [K, B, D]."""


def bound(params: tf.Tensor) -> tf.Tensor:
    """Clips raw parameters to +-`PARAMETER_BOUND`; shape and dtype stay."""
    return tf.clip_by_value(params, -PARAMETER_BOUND, PARAMETER_BOUND)


def raw_scale(scale: float | np.ndarray, min_scale: float) -> float | np.ndarray:
    """The parameter of a standard deviation: min_scale + softplus(parameter) = `scale`."""
    return np.log(np.expm1(np.maximum(scale - min_scale, min_scale)))


class DistributionLayer(tfpl.DistributionLambda, CountedDraws):
    """A `DistributionLambda` that saves by its config and draws from a generator of its own.

    Subclasses define `make_distribution(params)` and list their own constructor arguments in
    `get_config`. Three things differ from `tfp.layers`:

    * the config holds plain values, never a pickled function, so that .keras and SavedModel load in
      safe mode (tensorflow/probability #325, #742, #1350, #1604);
    * a random draw is a function of the seed, the replica and the number of draws so far, which is
      in every checkpoint (`CountedDraws`);
    * parameters and densities stay float32 under mixed precision.

    Attributes:
      discrete: whether `log_prob` is the log of a probability; otherwise it is that of a density.
      binary: of a likelihood, whether it is a probability of images of zeros and ones only.
      counts_draws: whether it draws, so that `next_seed` may be called.
      value_dtype: of a draw.
      has_density: False for a distribution with all mass on one point, which has no KL.

    Args:
      convert_to_tensor_fn: how the distribution becomes a tensor: "sample", "mean", "mode",
        "stddev", "variance", "logits", "probs", or a callable (saved if registered with Keras).
      seed: integer; None draws it from NumPy's global state, which
        `tf_keras.utils.set_random_seed` sets.
    """

    discrete = False
    binary = False
    has_density = True
    value_dtype = "float32"

    def __init__(
        self,
        convert_to_tensor_fn: str | dict[str, Any] | Callable[..., tf.Tensor] = "sample",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = self.value_dtype
        if isinstance(convert_to_tensor_fn, dict):
            convert_to_tensor_fn = tf_keras.saving.deserialize_keras_object(convert_to_tensor_fn)
        names = {fn: name for name, fn in _CONVERT_TO_TENSOR_FNS.items()}
        name: Any = names.get(convert_to_tensor_fn, convert_to_tensor_fn)
        if isinstance(name, str) and name not in _CONVERT_TO_TENSOR_FNS:
            accepted = ", ".join(_CONVERT_TO_TENSOR_FNS)
            raise ValueError(f"convert_to_tensor_fn {name!r}: expected a callable or {accepted}")
        convert = _CONVERT_TO_TENSOR_FNS.get(name, name)
        if name == "sample":

            def convert(distribution: tfd.Distribution) -> tf.Tensor:
                return self.draw(distribution)

        tfpl.DistributionLambda.__init__(self, self.make_distribution, convert, **kwargs)
        self.seed = seed
        self._convert_to_tensor_name = name
        self.counts_draws = name == "sample"
        if self.counts_draws:
            self.count_draws(seed)

    def centre(self, distribution: tfd.Distribution) -> tf.Tensor:
        """The latent that stands for `distribution` where no draw is wanted: its mean."""
        return distribution.mean()

    def draw(self, distribution: tfd.Distribution) -> tf.Tensor:
        """One more draw from `distribution`, from the layer's own generator."""
        return self.sample(distribution, self.next_seed())

    def sample(self, distribution: tfd.Distribution, seed: tf.Tensor) -> tf.Tensor:
        """A draw from `distribution` that is a function of `seed`, int32 or int64 [2]."""
        return distribution.sample(seed=_tfp_seed(seed))

    def sample_and_log_prob(
        self, distribution: tfd.Distribution, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`sample`, and the log-probability of that draw, nats.

        Raises:
          ValueError: a distribution without a density.
        """
        if not self.has_density:
            raise ValueError(f"{type(self).__name__} has no density: expected another posterior")
        return distribution.experimental_sample_and_log_prob(seed=_tfp_seed(seed))

    def sample_several(self, params: tf.Tensor, count: int, seed: tf.Tensor) -> Draws:
        """Several draws from the distribution of each row of `params`.

        The parameters are repeated, so that `sample_and_log_prob` serves, whatever it needs of the
        distribution. A subclass whose parameters are many may do without.

        Args:
          params: as `make_distribution` takes them, [B, params_size].
          count: K.
          seed: int32 or int64 [2].

        Raises:
          ValueError: a distribution without a density.
        """
        size = tf.shape(params)[0]
        repeated = self.make_distribution(tf.tile(params, [count, 1]))
        latents, log_posterior = self.sample_and_log_prob(repeated, seed)
        shape = tf.concat([[count, size], tf.shape(latents)[1:]], axis=0)

        def log_prob(latents: tf.Tensor) -> tf.Tensor:
            flat = tf.reshape(latents, tf.concat([[count * size], shape[2:]], axis=0))
            return tf.reshape(repeated.log_prob(flat), [count, size])

        return Draws(tf.reshape(latents, shape), tf.reshape(log_posterior, [count, size]), log_prob)

    def make_distribution(self, params: tf.Tensor) -> tfd.Distribution:
        """The distribution that `params` [..., params_size] stand for."""
        return self.new(params)

    def centred(self, stddev: np.ndarray) -> np.ndarray:
        """Of a posterior, the parameters of one around 0 whose scales, if any, are `stddev` [D]."""
        return np.zeros_like(stddev)

    def get_config(self) -> dict[str, Any]:
        config = tf_keras.layers.Layer.get_config(self)  # not Lambda's, which pickles
        name = self._convert_to_tensor_name
        config["convert_to_tensor_fn"] = (
            name if isinstance(name, str) else tf_keras.saving.serialize_keras_object(name)
        )
        config["seed"] = self.seed
        config["activity_regularizer"] = tf_keras.regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DistributionLayer":
        return cls(**config)


def _tfp_seed(seed: tf.Tensor) -> tf.Tensor:
    """An int32 [2] seed, which is all that TFP takes, from an int32 or int64 one."""
    return tf.random.stateless_uniform([2], seed, None, None, tf.int32)


def params_model(model: tf_keras.Model) -> tf_keras.Model:
    """`model`, which ends in a `DistributionLayer`, up to the parameters of its distribution."""
    return tf_keras.Model(model.inputs, model.layers[-1].input)


def distribution_fn(model: tf_keras.Model) -> DistributionFn:
    """`model`, which ends in a `DistributionLayer`, as a function to its distribution.

    Calling the model itself also turns the distribution into a tensor, which may be a random draw;
    this does not.

    Raises:
      ValueError: the model ends in another layer.
    """
    layer = model.layers[-1]
    if not isinstance(layer, DistributionLayer):
        raise ValueError(f"{model.name} ends in {type(layer).__name__}: expected a tfp_vae layer")
    params_of = params_model(model)

    def distribution(inputs: tf.Tensor) -> tfd.Distribution:
        return layer.make_distribution(tf.cast(params_of(inputs, training=False), tf.float32))

    return distribution
