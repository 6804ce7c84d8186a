"""The VAE of the official TensorFlow Probability tutorial, with the benchmark's layer sizes.

`tfp.layers` and a `KLDivergenceRegularizer` as they are, so the KL counts twice
(tensorflow/probability #1215), and `compile` and `fit` as the tutorial calls them.
"""

import math

import tensorflow_probability as tfp
import tf_keras

tfd = tfp.distributions
tfpl = tfp.layers
tfkl = tf_keras.layers

POSTERIORS = {
    "independent_normal": tfpl.IndependentNormal,
    "multivariate_normal_tril": tfpl.MultivariateNormalTriL,
}


def networks(network, image_shape, activation):
    """The layers of the encoder, up to its features, and of the decoder, up to the logits."""
    initializer = "he_normal" if activation == "relu" else "glorot_uniform"
    hidden = {"activation": activation, "kernel_initializer": initializer}
    if network == "dense":
        encoder = [tfkl.Flatten(), tfkl.Dense(200, **hidden), tfkl.Dense(200, **hidden)]
        decoder = [tfkl.Dense(200, **hidden), tfkl.Dense(200, **hidden)]
        return encoder, [*decoder, tfkl.Dense(math.prod(image_shape))]
    rows, columns = image_shape[0] // 4, image_shape[1] // 4  # MNIST's are multiples of four
    stride = {"strides": 2, "padding": "same", **hidden}
    encoder = [tfkl.Conv2D(32, 3, **stride), tfkl.Conv2D(64, 3, **stride), tfkl.Flatten()]
    decoder = [
        tfkl.Dense(rows * columns * 64, **hidden),
        tfkl.Reshape((rows, columns, 64)),
        tfkl.Conv2DTranspose(64, 3, **stride),
        tfkl.Conv2DTranspose(32, 3, **stride),
        tfkl.Conv2D(image_shape[2], 3, padding="same"),
        tfkl.Flatten(),
    ]
    return encoder, decoder


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
    to_features, to_logits = networks(config.network, image_shape, config.activation)
    encoder = tf_keras.Sequential(
        [
            tfkl.InputLayer(image_shape),
            *to_features,
            tfkl.Dense(posterior.params_size(size), dtype="float32"),
            posterior(size, activity_regularizer=regularizer, dtype="float32"),
        ]
    )
    decoder = tf_keras.Sequential(
        [
            tfkl.InputLayer((size,)),
            *to_logits,
            tfkl.Activation("linear", dtype="float32"),  # what distributions need
            tfpl.IndependentBernoulli(image_shape, tfd.Bernoulli.logits, dtype="float32"),
        ]
    )
    vae = tf_keras.Model(inputs=encoder.inputs, outputs=decoder(encoder.outputs[0]))
    vae.compile(
        optimizer=tf_keras.optimizers.Adam(config.learning_rate),
        loss=lambda x, rv_x: -rv_x.log_prob(x),
    )
    return vae
