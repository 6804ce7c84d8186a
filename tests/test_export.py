"""The SavedModel as a stranger reads it: NumPy in float64, a process without our packages."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from helpers.models import small_vae
from helpers.parts import EXACT_KL, LIKELIHOOD_CASES, POSTERIORS, name_of
from scipy import special

import tfp_vae
from tfp_vae.saved_model.contract import OUTPUTS_2

SEED = tf.constant([3, 4], tf.int32)


@pytest.fixture(scope="module")
def trained(grey_images, tmp_path_factory):
    """Every posterior's (model, signatures) after a short training."""
    made = {}
    for name in POSTERIORS:
        vae = small_vae(posterior=name)
        vae.fit(grey_images, epochs=3, verbose=0)
        path = tmp_path_factory.mktemp(name)
        tfp_vae.export(vae, path)
        loaded = tf.saved_model.load(path)
        made[name] = vae, loaded.signatures, loaded
    return made


def black_and_white(images):
    return tf.constant((images > 0.5).astype(np.float32))


@pytest.mark.parametrize("name", POSTERIORS)
def test_shapes_and_types_for_any_batch(name, trained, grey_images):
    _, signatures, _ = trained[name]
    for batch in (0, 1, 7):
        image = tf.constant(grey_images[:batch])
        z = tf.zeros([batch, 4])
        outputs = {
            "serving_default": signatures["serving_default"](image=image),
            "encode": signatures["encode"](image=image),
            "decode": signatures["decode"](latent=z),
            "sample": signatures["sample"](n=tf.constant(batch), seed=SEED),
            "log_likelihood": signatures["log_likelihood"](image=image, latent=z),
            "elbo": signatures["elbo"](image=image, seed=SEED),
            "sample_image": signatures["sample_image"](latent=z, seed=SEED),
        }
        density = name != "deterministic"
        if density:
            drawn = signatures["sample_posterior"](image=image, seed=SEED)
            outputs["sample_posterior"] = drawn
            outputs["log_prior"] = signatures["log_prior"](latent=drawn["latent"])
        assert set(outputs) == set(signatures)
        shapes = {
            signature: {key: tuple(value.shape) for key, value in values.items()}
            for signature, values in outputs.items()
        }
        picture, row = (batch, 8, 9, 1), (batch,)
        encoded = {"mean": (batch, 4), "stddev": (batch, 4), "scale_tril": (batch, 4, 4)}
        if name not in EXACT_KL:  # those that are Normal
            del encoded["scale_tril"]
        of_density = {
            "sample_posterior": {"latent": (batch, 4), "log_posterior": row},
            "log_prior": {"log_prior": row},
        }
        assert shapes == {
            "serving_default": {"reconstruction": picture},
            "encode": encoded,
            "decode": {"mean": picture},
            "sample": {"image": picture, "latent": (batch, 4)},
            "log_likelihood": {"log_likelihood": row},
            "elbo": {"elbo": row, "reconstruction_nll": row, "kl": row},
            "sample_image": {"image": picture},
            **(of_density if density else {}),
        }
        dtypes = {value.dtype for values in outputs.values() for value in values.values()}
        assert dtypes == {tf.float32}


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_model_and_its_export_agree(name, trained, grey_images):
    vae, signatures, _ = trained[name]
    image = tf.constant(grey_images)
    reconstruction = signatures["serving_default"](image=image)["reconstruction"]
    np.testing.assert_allclose(reconstruction, vae.predict(grey_images, verbose=0), atol=1e-6)
    encoded = signatures["encode"](image=image)
    np.testing.assert_allclose(encoded["mean"], vae.encoder(image).mean(), atol=1e-6)
    np.testing.assert_allclose(encoded["stddev"], vae.encoder(image).stddev(), atol=1e-6)


@pytest.mark.parametrize("name", EXACT_KL)
def test_the_elbo_in_float64(name, trained, grey_images):
    _, signatures, _ = trained[name]
    image = black_and_white(grey_images)
    encoded = {
        k: v.numpy().astype(np.float64) for k, v in signatures["encode"](image=image).items()
    }
    scale = encoded["scale_tril"]
    covariance = scale @ np.swapaxes(scale, 1, 2)
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), encoded["stddev"], rtol=1e-5
    )
    trace = np.trace(covariance, axis1=1, axis2=2)
    kl = 0.5 * (trace + (encoded["mean"] ** 2).sum(1) - 4 - np.linalg.slogdet(covariance)[1])
    terms = signatures["elbo"](image=image, seed=SEED)
    np.testing.assert_allclose(terms["kl"], kl, rtol=1e-4)
    total = -terms["reconstruction_nll"].numpy() - terms["kl"].numpy()
    np.testing.assert_allclose(terms["elbo"], total, rtol=1e-6)


def test_the_log_likelihood_in_float64(trained, grey_images):
    _, signatures, _ = trained["multivariate_normal_tril"]
    image = black_and_white(grey_images)
    z = np.random.default_rng(0).normal(size=(130, 4)).astype(np.float32)
    mean = signatures["decode"](latent=z)["mean"].numpy().astype(np.float64)
    x = image.numpy().astype(np.float64)
    expected = (special.xlogy(x, mean) + special.xlog1py(1 - x, -mean)).sum(axis=(1, 2, 3))
    actual = signatures["log_likelihood"](image=image, latent=z)["log_likelihood"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_seed_makes_a_call_deterministic(trained, grey_images):
    _, signatures, _ = trained["multivariate_normal_tril"]
    calls = {
        "sample": lambda seed: signatures["sample"](n=tf.constant(5), seed=seed)["latent"],
        "elbo": lambda seed: signatures["elbo"](image=tf.constant(grey_images), seed=seed)["elbo"],
    }
    for call in calls.values():
        np.testing.assert_array_equal(call(SEED), call(SEED))
        assert not np.array_equal(call(SEED), call(SEED + 1))


def test_the_elbo_signature_averages_to_the_model_s_elbo(trained, grey_images):
    vae, signatures, _ = trained["independent_normal"]
    image = black_and_white(grey_images)
    exported = np.stack(
        [signatures["elbo"](image=image, seed=tf.constant([s, 0]))["elbo"] for s in range(200)]
    ).mean(axis=1)
    own = [vae.evaluate(image, return_dict=True, verbose=0)["elbo"] for _ in range(20)]
    error = 4 * (np.std(exported) / np.sqrt(200) + np.std(own) / np.sqrt(20))
    assert abs(exported.mean() - np.mean(own)) < error


@pytest.mark.parametrize("options", LIKELIHOOD_CASES, ids=name_of)
def test_every_likelihood_exports(options, grey_images, tmp_path):
    vae = small_vae(kl="monte_carlo", **options)
    tfp_vae.export(vae, tmp_path)
    signatures = tf.saved_model.load(tmp_path).signatures
    z = np.zeros((3, 4), np.float32)
    expected = vae.decoder(z).log_prob(grey_images[:3])
    actual = signatures["log_likelihood"](image=grey_images[:3], latent=z)["log_likelihood"]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert np.all(np.isfinite(signatures["elbo"](image=grey_images[:3], seed=SEED)["kl"]))


def test_a_mixed_precision_model_exports_float32(grey_images, tmp_path):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        vae = small_vae(network="conv")
        tfp_vae.export(vae, tmp_path)
        signatures = tf.saved_model.load(tmp_path).signatures
        output = signatures["serving_default"](image=grey_images)["reconstruction"]
        assert output.dtype == tf.float32
        np.testing.assert_allclose(output, vae.predict(grey_images, verbose=0), atol=0.01)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


STRANGER = """
import sys
for name in ("tensorflow_probability", "tf_keras", "tfp_vae", "training"):
    sys.modules[name] = None  # an import of it raises ImportError
import numpy as np, tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
out = signatures["sample"](n=tf.constant(4), seed=tf.constant([3, 4]))
print(sorted(signatures))
print(out["latent"].numpy().tobytes().hex())
"""


def test_it_loads_in_a_process_that_has_none_of_our_packages(grey_images, tmp_path):
    vae = small_vae()
    tfp_vae.export(vae, tmp_path / "m")
    here = tf.saved_model.load(tmp_path / "m").signatures["sample"](n=tf.constant(4), seed=SEED)
    command = [sys.executable, "-c", STRANGER, str(tmp_path / "m")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    names, latent = result.stdout.splitlines()
    assert names == str(sorted(OUTPUTS_2))
    assert latent == here["latent"].numpy().tobytes().hex()


def test_a_model_that_ends_in_another_package_s_layer_is_refused(tmp_path):
    vae = small_vae()
    plain = tf_keras.Sequential(
        [tf_keras.layers.InputLayer(input_shape=(4,)), tf_keras.layers.Dense(72)], name="plain"
    )
    vae.decoder = plain
    with pytest.raises(ValueError, match="plain ends in Dense: expected a layer of tfp_vae"):
        tfp_vae.export(vae, tmp_path)
