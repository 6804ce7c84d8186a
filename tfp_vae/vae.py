"""The model: a posterior, a prior and a likelihood under one objective, trained by `fit`."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_vae import priors
from tfp_vae.layers import DistributionLayer, distribution_fn
from tfp_vae.likelihoods import LIKELIHOODS
from tfp_vae.networks import ACTIVATIONS, NETWORKS
from tfp_vae.posteriors import POSTERIORS, Deterministic
from tfp_vae.priors import PRIORS
from tfp_vae.regularizers import KLDivergenceRegularizer, regularizer_of

tfd = tfp.distributions
tfpl = tfp.layers

KL_FORMS = ("exact", "monte_carlo")


@tf_keras.saving.register_keras_serializable("tfp_vae")
def negative_log_likelihood(images, likelihood):
    """-log p(x|z) of each image in nats, all constants kept: [B]."""
    return -likelihood.log_prob(images)


@tf_keras.saving.register_keras_serializable("tfp_vae")
class VAE(tf_keras.Model):
    """A variational autoencoder (Kingma and Welling, 2014) of two models.

    The loss is the mean over the batch of `-log p(x|z) + beta * KL(q(z|x) || p(z))`, each summed
    over its dimensions, in nats per image, with z one draw from q(z|x). Training and validation log
    it as `loss`, and `elbo`, `reconstruction_nll` and `kl`, which never carry beta, beside it.

    Args:
      encoder: images [B, H, W, C] to a posterior over [B, D]: a tf_keras model that ends in one of
        the layers of `tfp_vae.posteriors`. Without a `KLDivergenceRegularizer` of its own, that
        layer is given the exact one against `prior`.
      decoder: latents [B, D] to a likelihood over [B, H, W, C], a tf_keras model.
      prior: p(z), a `tfd.Distribution` over [D]; None is the regularizer's, or N(0, I).

    Raises:
      ValueError: a model without an input shape, an encoder that does not end in a distribution
        layer, or that has a KL regularizer that counts twice (the stock one), several, or one
        against another prior than `prior`.
    """

    def __init__(self, encoder, decoder, prior=None, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        if not (encoder.inputs and decoder.inputs):
            raise ValueError("encoder and decoder: expected models whose input shapes are known")
        posterior_layer = encoder.layers[-1]
        if not isinstance(posterior_layer, tfpl.DistributionLambda):
            raise ValueError(
                f"encoder ends in {type(posterior_layer).__name__}: expected a layer that makes a "
                "distribution, such as tfp_vae.MultivariateNormalTriL"
            )
        self.encoder = encoder
        self.decoder = decoder
        # Without a draw, which would be counted, and so change what training draws next.
        own = isinstance(posterior_layer, DistributionLayer)
        self._posterior_of = distribution_fn(encoder) if own else encoder
        self._regularizer = regularizer_of(encoder, prior)
        if self._regularizer is None and not isinstance(posterior_layer, Deterministic):
            prior = prior or priors.standard_normal(encoder.output_shape[-1])
            self._regularizer = KLDivergenceRegularizer(prior, use_exact_kl=True)
            posterior_layer.activity_regularizer = self._regularizer
        if self._regularizer is None:
            self._prior = prior or priors.standard_normal(encoder.output_shape[-1])
            self.kl_weight = None
        else:
            self._prior = self._regularizer.distribution_b
            self.kl_weight = self._regularizer.weight  # beta, a variable
        self.loss_tracker = tf_keras.metrics.Mean(name="loss")
        self.elbo_tracker = tf_keras.metrics.Mean(name="elbo")
        self.reconstruction_nll_tracker = tf_keras.metrics.Mean(name="reconstruction_nll")
        self.kl_tracker = tf_keras.metrics.Mean(name="kl")
        self(encoder.inputs[0])  # the shapes that saving needs

    @property
    def prior(self):
        """p(z), a `tfd.Distribution` over [D]."""
        return self._prior

    @property
    def metrics(self):
        """As Keras has them, but for a `loss` of our own: Keras's is in no checkpoint."""
        return [self.loss_tracker, *(each for each in super().metrics if each.name != "loss")]

    def call(self, images, training=None):
        """p(x|z) with z one draw from q(z|x), a `tfd.Distribution` over [B, H, W, C]."""
        return self.decoder(self.encoder(images, training=training), training=training)

    def compile(self, optimizer="rmsprop", loss=negative_log_likelihood, **kwargs):
        """As `tf_keras.Model.compile`; the loss without its KL is `negative_log_likelihood`."""
        saved = getattr(self, "optimizer", None)
        super().compile(optimizer, loss=loss, **kwargs)
        if kwargs.get("from_serialized") and self._build_optimizer() and saved is not None:
            # tf_keras reads the optimizer's state from a SavedModel, and would drop it here.
            for variable, value in zip(self.optimizer.variables, saved.variables, strict=True):
                variable.assign(value)

    def compile_from_config(self, config):
        self.compile(**tf_keras.saving.deserialize_keras_object(config))
        self._build_optimizer()  # so that its state can be loaded

    def _build_optimizer(self):
        """Makes the optimizer's variables; False for a legacy one, which cannot be told to."""
        modern = isinstance(self.optimizer, tf_keras.optimizers.Optimizer)
        if modern:
            self.optimizer.build(self.trainable_variables)
        return modern

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        """As `tf_keras.Model.fit`, on images alone or pairs; validation too may be images alone."""
        if isinstance(validation_data, np.ndarray | tf.Tensor):
            validation_data = (validation_data,)
        return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def divergence(self, posterior, latents=None):
        """KL(q(z|x) || p(z)) of each image as the loss counts it, without beta: [B], nats.

        Args:
          posterior: q(z|x), as `encoder` returns it.
          latents: draws from it [B, D], where the KL is a Monte Carlo one; None is the layer's own.
        """
        if self._regularizer is None:
            return tf.zeros(posterior.batch_shape_tensor())
        return self._regularizer.divergence(posterior, latents)

    def _forward(self, data, training):
        """One pass over `data`; updates the metrics and returns the loss, a scalar."""
        images, targets, sample_weight = tf_keras.utils.unpack_x_y_sample_weight(data)
        targets = images if targets is None else targets
        if not (images.dtype.is_floating and targets.dtype.is_floating):
            raise ValueError(f"images of {images.dtype.name}: expected floats in [0, 1]")
        posterior = self.encoder(images, training=training)
        likelihood = self.decoder(posterior, training=training)
        loss = self.compute_loss(images, targets, likelihood, sample_weight)
        reconstruction_nll = -likelihood.log_prob(targets)
        kl = self.divergence(posterior)
        # Keras scales a loss to be summed over the replicas; its mean counts a batch by its size.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self.loss_tracker.update_state(loss * replicas, sample_weight=tf.shape(images)[0])
        self.elbo_tracker.update_state(-reconstruction_nll - kl)
        self.reconstruction_nll_tracker.update_state(reconstruction_nll)
        self.kl_tracker.update_state(kl)
        return loss, self.compute_metrics(images, targets, likelihood, sample_weight)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss, logs = self._forward(data, training=True)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return logs

    def test_step(self, data):
        _, logs = self._forward(data, training=False)
        return logs

    def predict_step(self, data):
        """The mean of p(x|z) at the mean of q(z|x), [B, H, W, C]: what `predict` returns."""
        images, _, _ = tf_keras.utils.unpack_x_y_sample_weight(data)
        return self.decoder(self._posterior_of(images).mean(), training=False).mean()

    def get_config(self):
        return {
            "name": self.name,
            "encoder": tf_keras.layers.serialize(self.encoder),
            "decoder": tf_keras.layers.serialize(self.decoder),
            "prior": priors.serialize(self.prior) if self._regularizer is None else None,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        encoder, decoder = (
            tf_keras.layers.deserialize(config[part], custom_objects)
            for part in ("encoder", "decoder")
        )
        prior = priors.deserialize(config["prior"])
        return cls(encoder=encoder, decoder=decoder, prior=prior, name=config["name"])


def _part(parts, kind, name):
    if name not in parts:
        raise ValueError(f"{kind} {name!r}: expected one of {', '.join(parts)}")
    return parts[name]


def _small():
    """Starts q(z|x) near one that knows nothing of x: else the first KL is in the hundreds."""
    return tf_keras.initializers.VarianceScaling(0.1)


def build_vae(
    image_shape,
    latent_size=16,
    network="dense",
    hidden_units=None,
    activation="relu",
    mean_image=None,
    posterior="multivariate_normal_tril",
    prior="standard_normal",
    likelihood="independent_bernoulli",
    likelihood_scale="shared",
    kl="exact",
    beta=1.0,
    seed=None,
):
    """A `VAE` from parts chosen by name.

    Args:
      image_shape: (H, W, C).
      latent_size: D, the number of latents.
      network: "dense" or "conv".
      hidden_units: of "dense": sizes of the encoder's hidden layers, reversed in the decoder; ()
        makes it linear, None is (200, 200).
      activation: "relu" or "tanh", of the hidden layers.
      mean_image: [H, W, C] in [0, 1], the mean of the training images, where the decoder starts;
        None is grey. Adam would take thousands of steps to move the logits of a background there.
      posterior: "multivariate_normal_tril", "independent_normal", or "deterministic".
      prior: "standard_normal".
      likelihood: "independent_bernoulli", "continuous_bernoulli", or "independent_normal".
      likelihood_scale: of "independent_normal": "shared" (one learned standard deviation),
        "per_pixel", or a number in pixel units.
      kl: "exact" or "monte_carlo".
      beta: weight of the KL in the loss (Higgins et al., 2017); 1 is the ELBO.
      seed: of the posterior's draws; weights follow `tf_keras.utils.set_random_seed`.

    Raises:
      ValueError: an unknown name, an option of another network or likelihood, an `image_shape` or
        `mean_image` of another shape, a latent size below one, or a negative beta.
    """
    image_shape = tuple(int(size) for size in image_shape)
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape {image_shape}: expected (height, width, channels)")
    if mean_image is not None and np.shape(mean_image) != image_shape:
        raise ValueError(f"mean_image {np.shape(mean_image)}: expected the shape {image_shape}")
    if latent_size < 1:
        raise ValueError(f"latent_size {latent_size}: expected an integer >= 1")
    if not 0 <= beta < float("inf"):
        raise ValueError(f"beta {beta}: expected a number >= 0")
    if kl not in KL_FORMS:
        raise ValueError(f"kl {kl!r}: expected one of {', '.join(KL_FORMS)}")
    trunk = _part(NETWORKS, "network", network)
    trunk_options = {} if hidden_units is None else {"hidden_units": hidden_units}
    if not set(trunk_options) <= set(trunk.options):
        raise ValueError(f"hidden_units {hidden_units}: network {network!r} has none to choose")
    _part(ACTIVATIONS, "activation", activation)
    trunk_options["activation"] = activation
    posterior_layer = _part(POSTERIORS, "posterior", posterior)(latent_size, seed=seed)
    if posterior != "deterministic":
        posterior_layer.activity_regularizer = KLDivergenceRegularizer(
            _part(PRIORS, "prior", prior)(latent_size), use_exact_kl=kl == "exact", weight=beta
        )
    make_likelihood = _part(LIKELIHOODS, "likelihood", likelihood)
    options = {"scale": likelihood_scale} if likelihood == "independent_normal" else {}
    if not options and likelihood_scale != "shared":
        raise ValueError(
            f"likelihood_scale {likelihood_scale!r}: {likelihood!r} has none to choose"
        )
    likelihood_layer = make_likelihood(image_shape, convert_to_tensor_fn="mean", **options)

    images = tf_keras.Input(image_shape)
    features = trunk.encode(images, **trunk_options)
    size = int(posterior_layer.params_size(latent_size))
    params = tf_keras.layers.Dense(size, kernel_initializer=_small())(features)
    encoder = tf_keras.Model(images, posterior_layer(params), name="encoder")

    latents = tf_keras.Input((latent_size,))
    mean = np.full(image_shape, 0.5) if mean_image is None else np.asarray(mean_image)
    params = trunk.decode(latents, likelihood_layer.start(mean), **trunk_options)
    decoder = tf_keras.Model(latents, likelihood_layer(params), name="decoder")
    return VAE(encoder=encoder, decoder=decoder)
