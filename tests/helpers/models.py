"""Small models, and what they should give in float64 NumPy."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from scipy import stats
from sklearn.decomposition import PCA

import tfp_vae
from tfp_vae.layers.base import Draws
from tfp_vae.layers.posteriors import MIN_SCALE
from tfp_vae.models import PARTS

tfd = tfp.distributions

# Of `linear_gaussian`.
SHAPE, LATENTS = (4, 4, 1), 2


def small_vae(image_shape=(8, 9, 1), latent_size=4, **options):
    """A compiled model that trains in a second."""
    if options.get("network", "dense") == "dense":
        options = {"hidden_units": (20,), **options}
    vae = tfp_vae.build_vae(image_shape, latent_size, seed=1, **options)
    vae.compile("adam")
    return vae


def layer_of(kind, name, *arguments, seed=None, **options):
    """The layer of a posterior or a likelihood, by name."""
    registry = PARTS[kind]
    return registry[name].load()(*arguments, seed=seed, **registry.arguments(name, options))


@tf_keras.saving.register_keras_serializable("tests")
class LaplacePosterior(tfp_vae.DistributionLayer):
    """A posterior of a user's own, which is not Normal: from 2 D parameters."""

    def make_distribution(self, params):
        loc, raw = tf.split(params, 2, axis=-1)
        laplace = tfd.Laplace(loc, 0.05 + tf.math.softplus(raw))
        return tfd.Independent(laplace, reinterpreted_batch_ndims=1)


@tf_keras.saving.register_keras_serializable("tests")
class FixedDraws(tfp_vae.IndependentNormal):
    """A posterior whose draws are at fixed points: on every device the same, and under XLA."""

    def sample(self, distribution, seed):
        return distribution.mean() + 0.7 * distribution.stddev()

    def sample_several(self, params, count, seed):
        normal = self.make_distribution(params)
        points = np.linspace(-1.5, 1.0, count, dtype=np.float32)[:, np.newaxis, np.newaxis]
        latents = normal.mean() + points * normal.stddev()
        return Draws(latents, normal.log_prob(latents), normal.log_prob)


def vae_of(posterior_layer, params_size, latent_size, image_shape=(6, 6, 1), prior=None):
    """A compiled VAE of models that a user has written, with any posterior layer and any prior."""
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    images, latents = tf_keras.Input(image_shape), tf_keras.Input((latent_size,))
    hidden = layers.Dense(20, "relu")(layers.Flatten()(images))
    encoder = tf_keras.Model(images, posterior_layer(layers.Dense(params_size)(hidden)))
    logits = layers.Dense(int(np.prod(image_shape)))(layers.Dense(20, "relu")(latents))
    decoder = tf_keras.Model(latents, tfp_vae.IndependentBernoulli(image_shape, seed=1)(logits))
    vae = tfp_vae.VAE(encoder=encoder, decoder=decoder, prior=prior)
    vae.compile(tf_keras.optimizers.Adam(1e-2))
    return vae


def fitted_to_linear_data(**options):
    """A linear model after training on 2,000 images of three linear factors and noise.

    Returns:
      Its logs on them, and the log-likelihood of probabilistic PCA (Tipping and Bishop, 1999), the
      optimum.
    """
    rng = np.random.default_rng(0)
    latents, pixels = 3, 30
    loadings = rng.normal(size=(latents, pixels)) * 0.5
    data = rng.normal(size=(2000, latents)) @ loadings + 0.1 * rng.normal(size=(2000, pixels)) + 0.5
    data = data.astype(np.float32)
    images = data.reshape(-1, 5, 6, 1)
    tf_keras.utils.set_random_seed(0)
    vae = tfp_vae.build_vae(
        (5, 6, 1), latents, hidden_units=(), likelihood="independent_normal", seed=0, **options
    )
    rate = tf_keras.optimizers.schedules.CosineDecay(0.02, 3000)
    vae.compile(tf_keras.optimizers.Adam(rate), jit_compile=True, steps_per_execution=50)
    vae.fit(images, batch_size=200, epochs=300, verbose=0)
    logs = vae.evaluate(images, batch_size=2000, return_dict=True, verbose=0)
    return logs, PCA(latents).fit(data).score(data)


def closed_form_kl(posterior):
    """KL from N(0, I) of each row in float64 NumPy, from mean and covariance."""
    mean = posterior.mean().numpy().astype(np.float64)
    if isinstance(posterior.tensor_distribution, tfd.MultivariateNormalTriL):
        covariance = posterior.covariance().numpy().astype(np.float64)
    else:
        covariance = np.stack([np.diag(v) for v in posterior.variance().numpy().astype(np.float64)])
    trace = np.trace(covariance, axis1=1, axis2=2)
    return 0.5 * (trace + (mean**2).sum(1) - mean.shape[1] - np.linalg.slogdet(covariance)[1])


def linear_gaussian(path, sigma, widened=1.0):
    """Exports x = b + W z + sigma * noise with its own posterior, whose scale may be widened.

    Returns:
      The loaded model, and log p(x) of images in float64.
    """
    random = np.random.default_rng(0)
    w, b = 0.1 * random.normal(size=(16, LATENTS)), np.full(16, 0.5)
    covariance = np.linalg.inv(np.eye(LATENTS) + w.T @ w / sigma**2)
    to_mean = w @ covariance / sigma**2
    scale_tril = widened * np.linalg.cholesky(covariance)
    raw = np.tril(scale_tril, -1) + np.diag(np.log(np.expm1(np.diag(scale_tril) - MIN_SCALE)))
    triangle = tfp.math.fill_triangular_inverse(raw).numpy()
    vae = tfp_vae.build_vae(
        SHAPE,
        LATENTS,
        hidden_units=(),
        likelihood="independent_normal",
        likelihood_scale=sigma,
    )
    vae.encoder.layers[-2].set_weights(
        [np.hstack([to_mean, np.zeros([16, 3])]), np.concatenate([-b @ to_mean, triangle])]
    )
    vae.decoder.layers[-2].set_weights([w.T, b])
    tfp_vae.export(vae, path)
    density = stats.multivariate_normal(b, w @ w.T + sigma**2 * np.eye(16))
    return tfp_vae.load(path), lambda images: density.logpdf(images.reshape(-1, 16))
