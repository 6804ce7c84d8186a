"""The SavedModel: plain TensorFlow signatures that need neither TFP, tf_keras nor this package."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_vae.layers import distribution_fn
from tfp_vae.posteriors import reparameterized

tfd = tfp.distributions


def export(vae, path):
    """Writes a `VAE` as a SavedModel.

    The signatures, float32 unless said, with images [B, H, W, C] in [0, 1], D latents, and seeds
    int32 [2] that make a call deterministic:

    * `serving_default(image)`: `reconstruction`, the mean of p(x|z) at the mean of q(z|x);
    * `encode(image)`: `mean` [B, D], `stddev` [B, D] and `scale_tril` [B, D, D] of q(z|x);
    * `decode(latent)`: `mean` [B, H, W, C] of p(x|z);
    * `sample(n, seed)`: n int32 []; `latent` [n, D] from the prior, and the `image` it decodes to;
    * `log_likelihood(image, latent)`: `log_likelihood` [B], log p(x|z) in nats, constants kept;
    * `elbo(image, seed)`: `elbo`, `reconstruction_nll` and `kl` [B] in nats, at one draw of z.

    Args:
      vae: a `tfp_vae.VAE` whose encoder and decoder end in layers of this package.
      path: folder to write to.

    Raises:
      ValueError: a model that ends in a layer of another package.
    """
    posterior_of, likelihood_of = distribution_fn(vae.encoder), distribution_fn(vae.decoder)
    image = tf.TensorSpec([None, *vae.encoder.input_shape[1:]], tf.float32, name="image")
    latent = tf.TensorSpec([None, *vae.decoder.input_shape[1:]], tf.float32, name="latent")
    n = tf.TensorSpec([], tf.int32, name="n")
    seed = tf.TensorSpec([2], tf.int32, name="seed")

    @tf.function(input_signature=[image])
    def serving_default(image):
        return {"reconstruction": likelihood_of(posterior_of(image).mean()).mean()}

    @tf.function(input_signature=[image])
    def encode(image):
        posterior = posterior_of(image)
        if isinstance(posterior, tfd.MultivariateNormalTriL):
            scale_tril = posterior.scale.to_dense()
            # TFP's own stddev would form the covariance, with an op that LiteRT has not.
            stddev = tf.sqrt(tf.reduce_sum(scale_tril**2, axis=-1))
        else:
            stddev = posterior.stddev()
            scale_tril = tf.linalg.diag(stddev)
        return {"mean": posterior.mean(), "stddev": stddev, "scale_tril": scale_tril}

    @tf.function(input_signature=[latent])
    def decode(latent):
        return {"mean": likelihood_of(latent).mean()}

    @tf.function(input_signature=[n, seed])
    def sample(n, seed):
        latents = vae.prior.sample(n, seed=seed)
        return {"image": likelihood_of(latents).mean(), "latent": latents}

    @tf.function(input_signature=[image, latent])
    def log_likelihood(image, latent):
        return {"log_likelihood": likelihood_of(latent).log_prob(image)}

    @tf.function(input_signature=[image, seed])
    def elbo(image, seed):
        posterior = posterior_of(image)
        noise = tf.random.stateless_normal(tf.shape(posterior.mean()), seed)
        latents = reparameterized(posterior, noise)
        reconstruction_nll = -likelihood_of(latents).log_prob(image)
        kl = vae.divergence(posterior, latents)
        return {
            "elbo": -reconstruction_nll - kl,
            "reconstruction_nll": reconstruction_nll,
            "kl": kl,
        }

    functions = (serving_default, encode, decode, sample, log_likelihood, elbo)
    module = tf.Module()
    # The variables, not the layers: what loads is a graph, with no Keras object in it.
    module.weights = [*vae.encoder.weights, *vae.decoder.weights]
    signatures = {function.__name__: function for function in functions}
    tf.saved_model.save(module, str(path), signatures=signatures)
