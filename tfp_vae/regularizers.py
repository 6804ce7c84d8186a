"""KL(q(z|x) || p(z)) as an activity regularizer: counted once, averaged over the batch."""

import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_vae import priors

tfd = tfp.distributions
tfpl = tfp.layers


@tf_keras.saving.register_keras_serializable("tfp_vae")
class KLDivergenceRegularizer(tfpl.KLDivergenceRegularizer):
    """Adds `weight * mean over the batch of KL(q(z|x) || distribution_b)` to the loss, in nats.

    The drop-in for `tfp.layers.KLDivergenceRegularizer`, with the same arguments. Keras calls an
    activity regularizer on everything a distribution layer returns, which is the distribution and
    its value; the stock class answers both, so the KL counts twice (tensorflow/probability #1215).
    This one answers the distribution only.

    Args:
      distribution_b: the prior, a `tfd.Distribution`, or a callable that returns one.
      use_exact_kl: the closed form instead of `log q(z) - log p(z)` at the layer's own draw.
      test_points_reduce_axis: axes of several draws to average over, for the Monte Carlo form.
      test_points_fn: what draws them; only the default can be saved.
      weight: beta, a number; None is 1. It becomes a float32 variable that training may move.
    """

    def __init__(
        self,
        distribution_b,
        use_exact_kl=False,
        test_points_reduce_axis=(),
        test_points_fn=tf.convert_to_tensor,
        weight=None,
    ):
        weight = tf.Variable(
            1.0 if weight is None else weight, trainable=False, dtype=tf.float32, name="kl_weight"
        )
        super().__init__(
            distribution_b, use_exact_kl, test_points_reduce_axis, test_points_fn, weight
        )

    def divergence(self, distribution_a, test_points=None):
        """KL(q || p) of each image, in nats, without the weight: [B].

        Args:
          distribution_a: q, a `tfd.Distribution` over [B, D].
          test_points: draws from q for the Monte Carlo form; None is `test_points_fn(q)`.
        """
        prior = self.distribution_b() if callable(self.distribution_b) else self.distribution_b
        if self.use_exact_kl:
            return tfd.kl_divergence(_as_multivariate(distribution_a), _as_multivariate(prior))
        z = self.test_points_fn(distribution_a) if test_points is None else test_points
        log_ratio = distribution_a.log_prob(z) - prior.log_prob(z)
        return tf.reduce_mean(log_ratio, axis=self.test_points_reduce_axis)

    def __call__(self, distribution_a):
        if not isinstance(distribution_a, tfd.Distribution):
            return tf.zeros([])  # the layer's value: its distribution has been counted
        mean = tf.reduce_mean(self.divergence(distribution_a))
        # Keras divides by the first axis of the value, which for `sample(10)` is not the batch.
        leading_axis = tf.shape(tf.convert_to_tensor(distribution_a))[0]
        return self.weight * mean * tf.cast(leading_axis, mean.dtype)

    def get_config(self):
        if self.test_points_fn is not tf.convert_to_tensor:
            raise ValueError(
                "a KLDivergenceRegularizer with its own test_points_fn cannot be saved"
            )
        return {
            "distribution_b": priors.serialize(self.distribution_b),
            "use_exact_kl": self.use_exact_kl,
            "test_points_reduce_axis": self.test_points_reduce_axis,
            "weight": float(tf_keras.backend.get_value(self.weight)),
        }

    @classmethod
    def from_config(cls, config):
        prior = priors.deserialize(config["distribution_b"])
        return cls(**{**config, "distribution_b": prior})


def regularizer_of(encoder, prior=None):
    """The one `KLDivergenceRegularizer` of a model, or None.

    Raises:
      ValueError: it is the stock one, there are several, or it holds another prior than `prior`.
    """
    found = [part for part in encoder.submodules if isinstance(part, tfpl.KLDivergenceRegularizer)]
    if any(not isinstance(part, KLDivergenceRegularizer) for part in found):
        raise ValueError(
            "encoder has a tfp.layers.KLDivergenceRegularizer, which counts the KL twice: "
            "use tfp_vae.KLDivergenceRegularizer"
        )
    if len(found) > 1:
        raise ValueError(f"encoder has {len(found)} KL regularizers: expected one, at its output")
    own = found[0].distribution_b if found else prior
    if prior not in (None, own) and priors.serialize(prior) != priors.serialize(own):
        raise ValueError("encoder has a KL regularizer against another prior: give the prior once")
    return found[0] if found else None


def _as_multivariate(distribution):
    """Independent Normals over a vector as the `MultivariateNormalDiag` they are.

    TFP has closed forms for two `Independent` and for two multivariate Normals, not for one of
    each; written so, every pair of the two has one.
    """
    distribution = getattr(distribution, "tensor_distribution", distribution)  # a layer's output
    inner = getattr(distribution, "distribution", None)
    if isinstance(distribution, tfd.Independent) and isinstance(inner, tfd.Normal):
        return tfd.MultivariateNormalDiag(loc=inner.mean(), scale_diag=inner.stddev())
    return distribution
