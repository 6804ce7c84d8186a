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

    * the config holds plain values, never a pickled function, so that .keras and SavedModel load in
      safe mode (tensorflow/probability #325, #742, #1350, #1604);
    * a random draw is a function of the seed, the replica and a count of draws, a variable and
      therefore in every checkpoint, so that an interrupted run can continue bit for bit;
    * parameters and densities stay float32 under mixed precision.

    Args:
      convert_to_tensor_fn: how the distribution becomes a tensor: "sample", "mean", "mode",
        "stddev", "variance", "logits", "probs", or a callable (saved if registered with Keras).
      seed: integer; None draws it from NumPy's global state, which
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
                return self.draw(distribution)

        tfpl.DistributionLambda.__init__(self, self.make_distribution, convert, **kwargs)
        self.seed = seed
        self._convert_to_tensor_name = name
        if name == "sample":
            self._first_seed = np.random.randint(2**31) if seed is None else seed
            # Each replica counts its own draws, which are equally many: no word between them.
            self._draws = tf.Variable(
                0,
                dtype=tf.int64,
                trainable=False,
                name="draws",
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

    def _next_seed(self):
        """The seed of one more draw, int64 [2]."""
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        first = tf.cast(replica, tf.int64) * 2**32 + self._first_seed
        return tf.stack([first, self._draws.assign_add(1)])

    def draw(self, distribution):
        """One more draw from `distribution`."""
        seed = tf.random.stateless_uniform([2], self._next_seed(), None, None, tf.int32)
        return distribution.sample(seed=seed)  # TFP takes int32 seeds only

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
