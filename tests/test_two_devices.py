"""A model on two devices: each draws its own noise, and the means are those of one device."""

import pytest
from helpers.commands import says_equal

TWO_DEVICES = """
import numpy as np
import tfp_vae
import tensorflow as tf
import tf_keras

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from training.data import splits as data
from training.run import loop
from training.config import Config

strategies = [
    tf.distribute.get_strategy(),
    tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
]
assert strategies[1].num_replicas_in_sync == 2
small = dict(hidden_units=(8,), latent_size=2, jit_compile="false", batch_size=64)

# Each replica draws noise of its own: equal parameters, other latents.
splits = data.load(Config(**small))
vae = loop.build(Config(**small, strategy="mirrored"), splits.train, strategies[1])
images = tf.zeros([5, 8, 8, 1])
draw = tf.function(lambda: tf.convert_to_tensor(vae.encoder(images)))
first = strategies[1].experimental_local_results(strategies[1].run(draw))
second = strategies[1].experimental_local_results(strategies[1].run(draw))
draws = [value.numpy() for value in (*first, *second)]
assert len(draws) == 4
for one in range(4):
    for other in range(one):
        assert np.abs(draws[one] - draws[other]).min() > 0, (one, other)

# Without noise: a batch on one device is two halves of it on two, in training and validation.
found = []
for strategy, name in zip(strategies, ("none", "mirrored")):
    config = Config(**small, posterior="deterministic", strategy=name)
    splits = data.load(config)
    vae = loop.build(config, splits.train, strategy)
    validation = splits.evaluation_batches("validation", 50, 0)  # 180: the last batch is of 30
    history = vae.fit(
        splits.training_batches(64, 0), epochs=2, steps_per_epoch=7, verbose=0,
        validation_data=validation,
    ).history
    found.append((history, [weight.numpy() for weight in vae.trainable_weights]))
(one, one_weights), (two, two_weights) = found
assert {"loss", "elbo", "reconstruction_nll", "kl", "val_loss", "val_elbo"} <= set(one) == set(two)
for name in one:
    np.testing.assert_allclose(one[name], two[name], rtol=2e-5, atol=1e-6, err_msg=name)
np.testing.assert_allclose(one["loss"], np.negative(one["elbo"]), rtol=1e-5)
for a, b in zip(one_weights, two_weights):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)

# The mean activity of a sparse code is that of both halves, and so are its gradients.
regularizer = tfp_vae.SparsityRegularizer(0.1)
logits = np.random.default_rng(0).normal(size=(2, 32, 3)).astype(np.float32)

@tf.function
def penalty(logits):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = regularizer.penalty(tf.math.sigmoid(logits))
    return found, tape.gradient(found, logits)

whole, gradient = penalty(tf.constant(logits.reshape(64, 3)))
halves = strategies[1].experimental_distribute_values_from_function(
    lambda context: tf.constant(logits[context.replica_id_in_sync_group])
)
values, gradients = map(
    strategies[1].experimental_local_results, strategies[1].run(penalty, args=(halves,))
)
np.testing.assert_allclose(values, [whole, whole], rtol=1e-5)
np.testing.assert_allclose(np.concatenate(gradients) / 2, gradient, rtol=1e-4, atol=1e-6)

# A fitted scale follows the errors of both halves.
scales = []
for strategy, name in zip(strategies, ("none", "mirrored")):
    config = Config(
        **small, posterior="deterministic", strategy=name, likelihood="independent_normal"
    )
    splits = data.load(config)
    vae = loop.build(config, splits.train, strategy)
    vae.fit(splits.training_batches(64, 0), epochs=1, steps_per_epoch=20, verbose=0)
    scales.append(float(vae.decoder.layers[-1].scale))
assert abs(scales[0] - scales[1]) < 1e-4 * scales[0], scales

# The last batch of 9 images is of 1 image and none, or of 2 and 2.
images = np.random.default_rng(0).random((9, 8, 8, 1)).astype(np.float32)
weights = np.arange(9, dtype=np.float32)
codes = dict(model="vq_vae", network="conv", filters=(4,), codebook_size=4, code_size=2)
scales = []
for strategy in strategies:
    with strategy.scope():
        vae = tfp_vae.build_vae(
            (8, 8, 1), 2, posterior="deterministic", likelihood="independent_normal"
        )
        vae.compile(tf_keras.optimizers.SGD(0.0))
        of_codes = tfp_vae.build_vae((8, 8, 1), seed=1, **codes)
        of_codes.compile("adam")
    for variable in vae.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    scales.append([])
    for batch_size, weight in ((4, None), (5, weights)):
        vae.fit(images, images, batch_size=batch_size, sample_weight=weight, shuffle=False,
                verbose=0)
        scales[-1].append(float(vae.decoder.layers[-1].scale))
    of_codes.fit(images, batch_size=4, verbose=0)
    assert np.isfinite(of_codes.path.quantizers[0].codebook.numpy()).all()
np.testing.assert_allclose(*scales, rtol=1e-5)
print("equal")
"""


@pytest.mark.slow
def test_two_devices_draw_other_noise_and_agree_on_the_means(clean_environment):
    says_equal(TWO_DEVICES, clean_environment)
