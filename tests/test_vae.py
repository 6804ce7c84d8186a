import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from helpers.models import fitted_to_linear_data, small_vae
from helpers.parts import POSTERIORS

import tfp_vae

tfd, tfpl, tfkl = tfp.distributions, tfp.layers, tf_keras.layers


def test_fit_takes_arrays_and_datasets_of_images_or_pairs(grey_images):
    dataset = tf.data.Dataset.from_tensor_slices(grey_images)
    pairs = tf.data.Dataset.zip(dataset, dataset)
    one_step = {"epochs": 1, "verbose": 0}
    histories = []
    for x, y, validation in (
        (grey_images, None, grey_images),
        (grey_images, grey_images, (grey_images, grey_images)),
        (dataset.batch(32), None, dataset.batch(32)),
        (pairs.batch(32), None, pairs.batch(32)),
    ):
        tf_keras.utils.set_random_seed(0)
        vae = small_vae(posterior="deterministic")
        vae.compile(tf_keras.optimizers.SGD(0.0))
        history = vae.fit(x, y, validation_data=validation, **one_step).history
        assert len(history) == 8
        histories.append([history[name][0] for name in sorted(history)])
    np.testing.assert_allclose(histories, np.broadcast_to(histories[0], (4, 8)), rtol=1e-5)


def test_metrics_do_not_depend_on_the_batch_size(grey_images):
    vae = small_vae(posterior="deterministic")
    a, b = (
        vae.evaluate(grey_images, batch_size=size, return_dict=True, verbose=0) for size in (130, 7)
    )
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == pytest.approx(b[name], rel=1e-5)


def test_the_calls_of_a_vae(grey_images):
    vae = small_vae()
    assert vae.encoder(grey_images).mean().shape == (130, 4)
    assert vae.prior.event_shape == (4,)
    assert vae.decoder(vae.prior.sample(3)).mean().shape == (3, 8, 9, 1)
    first, second = vae(grey_images), vae(grey_images)
    assert first.log_prob(grey_images).shape == (130,)
    assert not np.array_equal(first.mean(), second.mean())  # z is drawn
    mean_of_mean = vae.decoder(vae.encoder(grey_images).mean()).mean()
    predicted = vae.predict(grey_images, verbose=0)
    assert isinstance(predicted, np.ndarray)
    np.testing.assert_allclose(predicted, mean_of_mean, rtol=1e-5)


def test_a_deterministic_posterior_has_no_kl(grey_images):
    vae = small_vae(posterior="deterministic")
    logs = vae.evaluate(grey_images, return_dict=True, verbose=0)
    assert vae.losses == [] and logs["kl"] == 0.0
    assert logs["loss"] == pytest.approx(logs["reconstruction_nll"])


def test_the_loss_is_the_negative_elbo_of_a_linear_gaussian_model():
    """Its optimum is probabilistic PCA (Tipping and Bishop, 1999): a closed form to reach."""
    logs, closed_form = fitted_to_linear_data()
    elbo = logs["elbo"]
    assert elbo == pytest.approx(closed_form, abs=0.1)
    assert elbo < closed_form + 0.03  # a bound, up to the noise of one draw for each image


def tutorial_encoder(layers=tfp_vae, regularizer=None):
    regularizer = regularizer or tfp_vae.KLDivergenceRegularizer(
        tfd.Independent(tfd.Normal(loc=tf.zeros(4), scale=1), reinterpreted_batch_ndims=1)
    )
    return tf_keras.Sequential(
        [
            tfkl.InputLayer(input_shape=(8, 9, 1)),
            tfkl.Flatten(),
            tfkl.Dense(layers.MultivariateNormalTriL.params_size(4)),
            layers.MultivariateNormalTriL(4, activity_regularizer=regularizer),
        ]
    )


def tutorial_decoder():
    return tf_keras.Sequential(
        [
            tfkl.InputLayer(input_shape=(4,)),
            tfkl.Dense(tfp_vae.IndependentBernoulli.params_size((8, 9, 1))),
            tfp_vae.IndependentBernoulli((8, 9, 1), tfd.Bernoulli.logits),
        ]
    )


def test_the_tutorial_s_functional_model_trains_saves_and_loads(grey_images, tmp_path):
    encoder, decoder = tutorial_encoder(), tutorial_decoder()
    vae = tf_keras.Model(inputs=encoder.inputs, outputs=decoder(encoder.outputs[0]))
    vae.compile("adam", loss=tfp_vae.negative_log_likelihood)
    vae.fit(grey_images, grey_images, verbose=0)
    for path, options in ((tmp_path / "m.keras", {}), (tmp_path / "m", {"save_format": "tf"})):
        vae.save(path, **options)
        loaded = tf_keras.models.load_model(path)
        for mine, theirs in zip(vae.trainable_weights, loaded.trainable_weights, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        loaded.fit(grey_images, grey_images, verbose=0)


def test_a_vae_of_one_s_own_models(grey_images, tmp_path):
    vae = tfp_vae.VAE(encoder=tutorial_encoder(), decoder=tutorial_decoder())
    vae.compile("adam")
    vae.fit(grey_images, verbose=0)
    vae.save(tmp_path / "m.keras")
    loaded = tf_keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        loaded.predict(grey_images, verbose=0), vae.predict(grey_images, verbose=0)
    )


@pytest.mark.parametrize("options", [{}, {"save_format": "tf"}], ids=["keras", "tf"])
def test_a_model_that_was_never_trained_is_saved_and_trained(options, grey_images, tmp_path):
    vae = small_vae()
    vae.save(tmp_path / ("m" if options else "m.keras"), **options)
    loaded = tf_keras.models.load_model(tmp_path / ("m" if options else "m.keras"))
    loaded.fit(grey_images, verbose=0)
    assert int(loaded.optimizer.iterations) == 5


def test_a_posterior_without_a_regularizer_is_given_one(grey_images):
    prior = tfd.MultivariateNormalDiag(tf.ones(4))
    images = tf_keras.Input((8, 9, 1))
    params = tfkl.Dense(14)(tfkl.Flatten()(images))
    encoder = tf_keras.Model(images, tfp_vae.MultivariateNormalTriL(4)(params))
    vae = tfp_vae.VAE(encoder=encoder, decoder=tutorial_decoder(), prior=prior)
    expected = tfd.kl_divergence(vae.encoder(grey_images).tensor_distribution, prior)
    assert vae.prior is prior
    np.testing.assert_allclose(sum(vae.losses), np.mean(expected), rtol=1e-5)


def test_a_regularizer_that_counts_twice_is_refused():
    stock = tfpl.KLDivergenceRegularizer(tfd.MultivariateNormalDiag(tf.zeros(4)))
    with pytest.raises(ValueError, match="counts the KL twice"):
        tfp_vae.VAE(encoder=tutorial_encoder(regularizer=stock), decoder=tutorial_decoder())


def test_an_encoder_without_a_distribution_is_refused():
    encoder = tf_keras.Sequential([tfkl.InputLayer(input_shape=(8, 9, 1)), tfkl.Flatten()])
    with pytest.raises(ValueError, match="encoder ends in Flatten"):
        tfp_vae.VAE(encoder=encoder, decoder=tutorial_decoder())


def test_a_model_without_an_input_shape_is_refused():
    unbuilt = tf_keras.Sequential([tfkl.Flatten(), tfp_vae.MultivariateNormalTriL(4)])
    with pytest.raises(ValueError, match="expected models whose input shapes are known"):
        tfp_vae.VAE(encoder=unbuilt, decoder=tutorial_decoder())


def test_the_prior_may_be_given_twice_but_not_two_priors():
    zeros = tf.zeros(4)
    same = tfd.Independent(tfd.Normal(loc=zeros, scale=1), reinterpreted_batch_ndims=1)
    tfp_vae.VAE(tutorial_encoder(), tutorial_decoder(), prior=same)
    other = tfd.Independent(tfd.Normal(loc=zeros, scale=2), reinterpreted_batch_ndims=1)
    with pytest.raises(ValueError, match="another prior"):
        tfp_vae.VAE(tutorial_encoder(), tutorial_decoder(), prior=other)


def test_bytes_are_refused_instead_of_trained_on():
    with pytest.raises(ValueError, match=r"images of uint8: expected floats in \[0, 1\]"):
        small_vae().fit(np.zeros((4, 8, 9, 1), np.uint8), verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "transformer"}, "network 'transformer': expected one of dense, conv"),
        ({"posterior": "normal"}, "posterior 'normal': expected one of multivariate_normal_tril"),
        ({"likelihood": "mse"}, "likelihood 'mse': expected one of independent_bernoulli"),
        ({"prior": "vae"}, "prior 'vae': expected one of standard_normal, mixture, vamp, flow"),
        ({"posterior_scale": 0.5}, "posterior_scale 0.5: only for posterior independent_normal"),
        ({"posterior": "independent_normal", "posterior_scale": 0}, "posterior_scale 0: "),
        ({"prior": "mixture", "prior_components": 0}, "prior_components 0: input should be"),
        (
            {"prior": "vamp", "images": np.zeros((7, 8, 8, 1))},
            "prior_components 100: expected at most 7, the number of images that they start at",
        ),
        (
            {"prior": "mixture", "posterior": "deterministic"},
            "prior MixturePrior with a Deterministic posterior, which has no KL to train it",
        ),
        ({"kl": "both"}, "kl 'both': expected one of auto, exact, monte_carlo"),
        ({"beta": -1.0}, "beta -1.0: expected a number >= 0"),
        ({"beta": float("nan")}, "beta nan: expected a number >= 0"),
        ({"latent_size": 0}, "latent_size 0"),
        ({"network": "conv", "hidden_units": (9,)}, r"hidden_units 9: only for network dense"),
        ({"likelihood": "independent_normal", "likelihood_scale": "wide"}, "scale 'wide'"),
        ({"likelihood": "independent_normal", "likelihood_scale": -1.0}, "scale -1.0"),
        (
            {"likelihood_scale": "per_pixel"},
            "per_pixel: only for likelihood independent_normal",
        ),
        ({"image_shape": (8, 8)}, r"image_shape \(8, 8\)"),
        ({"image_shape": (8.5, 8, 1)}, r"image_shape \(8\.5, 8, 1\): expected \(height, width"),
        ({"image_shape": 8}, r"image_shape 8: expected \(height, width, channels\)"),
        ({"image_shape": "abc"}, r"image_shape abc: expected \(height, width, channels\)"),
        ({"beta": "x"}, "beta x: expected a number >= 0"),
        ({"latent_size": 4.0}, r"latent_size 4\.0: only for model hierarchical: expected one num"),
        ({"latent_size": None}, "latent_size None: only for model hierarchical"),
        (
            {"latent_size": 8.0, "model": "hierarchical"},
            r"latent_size 8\.0: expected a number >= 1",
        ),
        ({"latent_size": (8, 2.5), "model": "hierarchical"}, r"latent_size 8 2\.5: expected a num"),
        ({"images": np.full((2, 8, 8, 1), 255)}, "images of int64: expected floats"),
        ({"images": np.full((2, 8, 8, 1), 255.0)}, r"from 255 to 255: expected 0\.\.1"),
        ({"images": np.full((2, 8, 8, 1), np.nan)}, r"from nan to nan: expected 0\.\.1"),
        ({"beta": 2.0, "model": "vq_vae", "network": "conv"}, "beta 2.0: not for model vq_vae"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        tfp_vae.build_vae(**{"image_shape": (8, 8, 1), **options})


def test_numbers_of_numpy_and_lists_of_images_are_taken(grey_images):
    options = {"likelihood": "independent_normal", "images": list(grey_images[:9])}
    assert tfp_vae.build_vae((8, 9, 1), np.int64(3), **options).prior_layer.latent_size == 3
    vae = tfp_vae.build_vae(np.array([8, 9, 1]), np.int64(4), model="hierarchical", **options)
    assert vae.encoder.layers[-1].top_down.sizes == [2, 4]


# XLA never frees what it has compiled: the others are for `-m slow`.
COMPILED = [
    name if name == "multivariate_normal_tril" else pytest.param(name, marks=pytest.mark.slow)
    for name in POSTERIORS
]


@pytest.mark.parametrize("posterior", COMPILED)
def test_the_training_step_compiles_under_xla_for_any_batch(posterior, grey_images):
    vae = small_vae(posterior=posterior)
    vae.compile("adam", jit_compile=True)
    history = vae.fit(grey_images, batch_size=64, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])


def test_the_loss_does_not_depend_on_the_number_of_replicas(grey_images):
    cpus = tf.config.list_logical_devices("CPU")
    devices = [cpu.name for cpu in cpus] if len(cpus) > 1 else ["CPU:0"]
    logs = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(devices)):
        with strategy.scope():
            vae = small_vae(posterior="deterministic")
            vae.compile(tf_keras.optimizers.SGD(0.0))
        vae.set_weights([np.full(w.shape, 0.01, w.dtype.as_numpy_dtype) for w in vae.weights])
        data = tf.data.Dataset.from_tensor_slices(grey_images[:128]).batch(64)
        logs.append(vae.fit(data, epochs=1, verbose=0).history)
    for name in logs[0]:
        np.testing.assert_allclose(logs[1][name], logs[0][name], rtol=1e-5)
