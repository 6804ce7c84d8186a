"""The quantisers against NumPy in float64, and what a codebook must survive."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfp_vae.layers.finite_scalar import FiniteScalarQuantizer, levels_of
from tfp_vae.layers.vector_quantizer import DEAD_SHARE, DECAY, SMOOTHING, VectorQuantizer

K, C, N = 6, 3, 40


def made(seed=3):
    quantizer = VectorQuantizer(K, C, seed=seed)
    quantizer.build((None, C))
    quantizer.built = True
    return quantizer


def batches(count):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, C)) * 3.0
    for step in range(count):
        chosen = centres[generator.integers(4 if step < 25 else 2, size=N)]
        yield (chosen + generator.normal(size=(N, C)) * 0.2).astype(np.float32)


def test_running_averages_and_restarts_are_those_of_float64():
    quantizer, restarts = made(), 0
    book = quantizer.codebook.numpy().astype(np.float64)
    counts, sums = np.ones(K), book.copy()
    for vectors in batches(50):
        found = quantizer(tf.constant(vectors))
        distances = ((vectors[:, None] - book[None]) ** 2).sum(axis=-1)
        np.testing.assert_array_equal(found.codes, distances.argmin(axis=1))
        used = np.bincount(found.codes, minlength=K)
        totals = np.stack([vectors[found.codes == code].sum(axis=0) for code in range(K)])
        counts = DECAY * counts + (1 - DECAY) * used
        sums = DECAY * sums + (1 - DECAY) * totals
        dead = counts < DEAD_SHARE * N / K
        quantizer.update(found)
        placed = quantizer.codebook.numpy()[dead]
        restarts += dead.sum()
        for code in placed:  # at a vector of this batch, exactly
            assert (np.abs(vectors - code).max(axis=1) == 0).any()
        counts[dead], sums[dead] = N / K, placed * N / K
        smoothed = (counts + SMOOTHING) / (counts.sum() + K * SMOOTHING) * counts.sum()
        book = np.where(dead[:, None], quantizer.codebook.numpy(), sums / smoothed[:, None])
        np.testing.assert_allclose(quantizer.codebook, book, atol=1e-5)
        np.testing.assert_allclose(quantizer.counts, counts, rtol=1e-5)
    assert restarts > 0


def test_a_code_that_was_restarted_stays_where_it_was_put():
    quantizer = made()
    quantizer.counts.assign(np.array([0.0] + [5.0] * (K - 1), np.float32))
    quantizer.codebook.assign(np.concatenate([np.full((1, C), 1e3), np.eye(K)[1:, :C]]))
    quantizer.sums.assign(quantizer.codebook * quantizer.counts[:, tf.newaxis])
    vectors = tf.constant(np.random.default_rng(1).normal(size=(N, C)).astype(np.float32))
    quantizer.update(quantizer(vectors))
    put = quantizer.codebook.numpy()[0]
    assert np.abs(put).max() < 10.0
    assert float(quantizer.counts[0]) == pytest.approx(N / K)
    found = quantizer(vectors)
    quantizer.update(found)
    own = vectors.numpy()[found.codes.numpy() == 0]
    count = DECAY * N / K + (1 - DECAY) * len(own)
    expected = (DECAY * put * N / K + (1 - DECAY) * own.sum(axis=0)) / count
    np.testing.assert_allclose(quantizer.codebook[0], expected, rtol=1e-3)


def test_codes_start_at_the_centres_of_k_means_reproducibly():
    generator = np.random.default_rng(2)
    centres = generator.normal(size=(K, C)) * 10.0
    vectors = np.repeat(centres, 50, axis=0) + generator.normal(size=(50 * K, C)) * 0.01
    books = []
    for _ in range(2):
        quantizer = made()
        quantizer.start(vectors.astype(np.float32))
        books.append(quantizer.codebook.numpy())
    np.testing.assert_array_equal(*books)
    distances = np.linalg.norm(centres[:, None] - books[0][None], axis=-1)
    assert distances.min(axis=1).max() < 0.01


def test_codes_that_k_means_has_placed_stay_in_use():
    """However many vectors a batch has for a code: it counts as an average one from the start."""
    vectors = np.random.default_rng(2).normal(size=(200 * K, C)).astype(np.float32)
    quantizer = made()
    quantizer.start(vectors)
    before = quantizer.codebook.numpy()
    quantizer.update(quantizer(tf.constant(vectors)))
    np.testing.assert_allclose(quantizer.codebook, before, atol=0.01)  # 0.01 of the way
    np.testing.assert_allclose(np.sum(quantizer.counts), 200 * K, rtol=1e-5)


def test_codes_start_at_each_vector_where_there_are_few():
    quantizer = made()
    quantizer.start(np.ones((7, C), np.float32))
    np.testing.assert_array_equal(quantizer.codebook, np.ones((K, C)))


def test_the_gradient_passes_straight_through_and_commits():
    quantizer = made()
    vectors = tf.Variable(np.random.default_rng(3).normal(size=(N, C)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        found = quantizer(tf.convert_to_tensor(vectors))
        used = tf.reduce_sum(found.embedded * 2.0)
        commitment = tf.reduce_sum(found.commitment)
    np.testing.assert_allclose(tape.gradient(used, vectors), np.full((N, C), 2.0))
    nearest = quantizer.embed(found.codes).numpy()
    np.testing.assert_allclose(found.embedded, nearest, atol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(commitment, vectors), 2.0 * (vectors.numpy() - nearest), atol=1e-5
    )
    assert not quantizer.trainable_weights


def test_every_code_of_a_finite_scalar_quantizer_is_what_it_rounds_to():
    quantizer = FiniteScalarQuantizer(60)
    assert tuple(quantizer.levels) == (5, 4, 3)
    codes = tf.range(60)
    vectors = quantizer.embed(codes)
    grids = [np.linspace(-1, 1, level) for level in (5, 4, 3)]
    expected = np.array(sorted(itertools.product(*grids)))
    np.testing.assert_allclose(sorted(map(tuple, vectors.numpy())), expected, atol=1e-6)
    found = quantizer(tf.atanh(vectors * 0.999))
    np.testing.assert_array_equal(found.codes, codes)
    np.testing.assert_allclose(found.embedded, vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "levels"),
    [(512, (8, 8, 8)), (1000, (8, 5, 5, 5)), (4, (4,)), (128, (8, 4, 4)), (2, (2,))],
)
def test_a_codebook_s_size_becomes_levels(size, levels):
    assert levels_of(size) == levels
    assert np.prod(levels_of(size)) == size


@pytest.mark.parametrize("size", [11, 13 * 8, 1])
def test_a_size_that_is_no_product_is_named(size):
    with pytest.raises(ValueError, match=f"codebook_size {size}: expected a product of numbers"):
        FiniteScalarQuantizer(size)


@pytest.mark.slow
def test_two_replicas_move_the_codes_as_one_with_the_whole_batch():
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfp_vae.layers.vector_quantizer import VectorQuantizer
vectors = np.random.default_rng(0).normal(size=(20, 41, 3)).astype(np.float32)

def book(strategy):
    with strategy.scope():
        quantizer = VectorQuantizer(6, 3, seed=3)
        quantizer.build((None, 3))
        quantizer.built = True
        quantizer.codebook.assign(np.eye(6)[:, :3] * 5)
        quantizer.sums.assign(quantizer.codebook)
        quantizer.counts.assign([1, 1, 1, 1, 0, 0])  # two are dead at once

    @tf.function
    def step(batch):
        strategy.run(lambda x: quantizer.update(quantizer(x)), args=(batch,))

    count = strategy.num_replicas_in_sync
    for batch in vectors:
        parts = np.array_split(batch, count)  # 21 and 20 vectors
        step(strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])))
    return quantizer.codebook.numpy()

one = book(tf.distribute.OneDeviceStrategy("/cpu:0"))
two = book(tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"]))
assert np.abs(one - np.eye(6)[:, :3] * 5).max() > 0.1
np.testing.assert_allclose(one, two, atol=1e-6)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
