"""What every distribution layer here adds to `tfp.layers.DistributionLambda`."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

tfd = tfp.distributions
tfpl = tfp.layers

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


def bound(params):
    """Clips raw parameters to +-`PARAMETER_BOUND`; shape and dtype stay."""
    return tf.clip_by_value(params, -PARAMETER_BOUND, PARAMETER_BOUND)


class DistributionLayer(tfpl.DistributionLambda):
    """A `DistributionLambda` that saves by its config and draws from a generator of its own.

    Subclasses define `make_distribution(params)` and list their own constructor arguments in
    `get_config`. Three things differ from `tfp.layers`:

    * the config holds plain values, never a pickled function, so every Keras format loads in safe
      mode (tensorflow/probability #325, #742, #1350, #1604);
    * a random draw advances a `tf.random.Generator`, whose state is a variable and therefore in
      every checkpoint, so that an interrupted run can continue bit for bit;
    * parameters and densities stay float32 under mixed precision.

    Args:
      convert_to_tensor_fn: how the distribution becomes a tensor: "sample", "mean", "mode",
        "stddev", "variance", "logits", "probs", or a callable (saved if registered with Keras).
      seed: integer that starts the generator; None draws it from NumPy's global state, which
        `tf_keras.utils.set_random_seed` sets.
    """

    def __init__(self, convert_to_tensor_fn="sample", seed=None, **kwargs):
        kwargs["dtype"] = "float32"
        if isinstance(convert_to_tensor_fn, dict):
            convert_to_tensor_fn = tf_keras.saving.deserialize_keras_object(convert_to_tensor_fn)
        names = {fn: name for name, fn in _CONVERT_TO_TENSOR_FNS.items()}
        name = names.get(convert_to_tensor_fn, convert_to_tensor_fn)
        if isinstance(name, str) and name not in _CONVERT_TO_TENSOR_FNS:
            accepted = ", ".join(_CONVERT_TO_TENSOR_FNS)
            raise ValueError(f"convert_to_tensor_fn {name!r}: expected a callable or {accepted}")
        convert = _CONVERT_TO_TENSOR_FNS.get(name, name)
        if name == "sample":

            def convert(distribution):
                return distribution.sample(seed=self._next_seed())

        tfpl.DistributionLambda.__init__(self, self.make_distribution, convert, **kwargs)
        self.seed = seed
        self._convert_to_tensor_name = name
        self._generator = None
        if name == "sample":
            start = np.random.randint(2**31) if seed is None else seed
            self._generator = tf.random.Generator.from_seed(start, alg="philox")

    def _next_seed(self):
        return self._generator.uniform_full_int([2], dtype=tf.int32)

    def make_distribution(self, params):
        """The distribution, a `tfd.Distribution`, that `params` [..., params_size] stand for."""
        return self.new(params)

    def get_config(self):
        config = tf_keras.layers.Layer.get_config(self)  # not Lambda's, which pickles
        name = self._convert_to_tensor_name
        config["convert_to_tensor_fn"] = (
            name if isinstance(name, str) else tf_keras.saving.serialize_keras_object(name)
        )
        config["seed"] = self.seed
        config["activity_regularizer"] = tf_keras.regularizers.serialize(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def distribution_fn(model):
    """`model`, which ends in a `DistributionLayer`, as a function to its distribution.

    Calling the model itself also turns the distribution into a tensor, which may be a random draw;
    this does not.

    Raises:
      ValueError: the model ends in another layer.
    """
    layer = model.layers[-1]
    if not isinstance(layer, DistributionLayer):
        raise ValueError(f"{model.name} ends in {type(layer).__name__}: expected a tfp_vae layer")
    params_of = tf_keras.Model(model.inputs, layer.input)

    def distribution(inputs):
        return layer.make_distribution(tf.cast(params_of(inputs, training=False), tf.float32))

    return distribution
