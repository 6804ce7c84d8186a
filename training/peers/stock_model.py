"""The VAE of the official TensorFlow Probability tutorial, with the benchmark's layer sizes.

`tfp.layers` and a `KLDivergenceRegularizer` as they are, so the KL counts twice
(tensorflow/probability #1215), and `compile` and `fit` as the tutorial calls them.
"""

import keras_networks
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

tfd = tfp.distributions
tfpl = tfp.layers
tfkl = tf_keras.layers

POSTERIORS = {
    "independent_normal": tfpl.IndependentNormal,
    "multivariate_normal_tril": tfpl.MultivariateNormalTriL,
}


class WithScale(tfkl.Layer):
    """Means of pixels to (means, scale): one scale for all of them, a weight that Adam trains."""

    def build(self, input_shape):
        self.raw_scale = self.add_weight("raw_scale", shape=(), initializer="zeros")
        super().build(input_shape)

    def call(self, means):
        return means, 1e-3 + tf.math.softplus(self.raw_scale)


def likelihood(name, parameters, image_shape):
    """p(x|z), of the output of a decoder's last convolution or dense layer."""
    if name == "independent_normal":
        means = tfkl.Reshape(image_shape, dtype="float32")(parameters)
        return tfpl.DistributionLambda(
            lambda given: tfd.Independent(tfd.Normal(*given), reinterpreted_batch_ndims=3),
            dtype="float32",
        )(WithScale(dtype="float32")(means))
    logits = tfkl.Flatten(dtype="float32")(parameters)
    return tfpl.IndependentBernoulli(image_shape, tfd.Bernoulli.logits, dtype="float32")(logits)


def build(config, image_shape):
    """The compiled tf_keras model, images to p(x|z)."""
    policy = "mixed_bfloat16" if config.mixed_precision else "float32"
    tf_keras.mixed_precision.set_global_policy(policy)
    tf_keras.utils.set_random_seed(config.seed)
    size, posterior = config.latent_size, POSTERIORS[config.posterior]
    prior = tfd.Independent(tfd.Normal([0.0] * size, 1.0), reinterpreted_batch_ndims=1)
    if config.posterior == "multivariate_normal_tril":
        # TFP has no closed form against Independent Normals; the tutorial takes one draw instead.
        prior = tfd.MultivariateNormalDiag([0.0] * size, [1.0] * size)
    regularizer = tfpl.KLDivergenceRegularizer(prior, use_exact_kl=True)
    images, latents = tf_keras.Input(image_shape), tf_keras.Input((size,))
    features = keras_networks.encode(tfkl, config, images)
    parameters = tfkl.Dense(posterior.params_size(size), dtype="float32")(features)
    encoder = tf_keras.Model(
        images, posterior(size, activity_regularizer=regularizer, dtype="float32")(parameters)
    )
    parameters = keras_networks.decode(tfkl, config, latents, image_shape)
    decoder = tf_keras.Model(latents, likelihood(config.likelihood, parameters, image_shape))
    vae = tf_keras.Model(inputs=encoder.inputs, outputs=decoder(encoder.outputs[0]))
    vae.compile(
        optimizer=tf_keras.optimizers.Adam(config.learning_rate),
        loss=lambda x, rv_x: -rv_x.log_prob(x),
    )
    return vae
