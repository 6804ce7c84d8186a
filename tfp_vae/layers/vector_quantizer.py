"""A codebook of vectors that follows the features (van den Oord et al., 2017)."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_vae.layers.quantizer import Quantized, Quantizer

DECAY = 0.99  # of the running averages
SMOOTHING = 1e-5  # of the counts that divide: no code is divided by 0
# A code whose running count falls below this share of the average one is put at a vector of the
# batch.
DEAD_SHARE = 0.1
MAX_START_VECTORS = 20_000  # that k-means sees
START_ITERATIONS = 20


@tf_keras.saving.register_keras_serializable("tfp_vae")
class VectorQuantizer(Quantizer):
    """A codebook that follows the running average of the vectors that each code is nearest to.

    van den Oord et al., "Neural discrete representation learning" (2017), appendix A.1; the codes
    are no trainable weights. They start at the centres that k-means finds. A code that is hardly
    used is put at a vector of the current batch, with the count of an average code (Dhariwal et
    al., "Jukebox", 2020).

    Counts and sums are those of all replicas, and so are the codes.
    """

    def build(self, input_shape: Any) -> None:
        shape = (self.codebook_size, self.dimensions)
        options = {"trainable": False, "aggregation": tf.VariableAggregation.MEAN}
        normal = tf_keras.initializers.RandomNormal(stddev=1.0)
        self.codebook = self.add_weight("codebook", shape, initializer=normal, **options)
        self.counts = self.add_weight(
            "counts", (self.codebook_size,), initializer="ones", **options
        )
        self.sums = self.add_weight("sums", shape, initializer="zeros", **options)
        self.sums.assign(self.codebook)
        super().build(input_shape)

    @property
    def running(self) -> list[tf.Variable]:
        return [self.codebook, self.counts, self.sums]

    def call(self, vectors: tf.Tensor) -> Quantized:
        book = tf.convert_to_tensor(self.codebook)
        # |v|^2 is the same for every code, and left out.
        products = tf.matmul(vectors, book, transpose_b=True)
        distances = tf.reduce_sum(book**2, axis=-1) - 2.0 * products
        codes = tf.argmin(distances, axis=-1, output_type=tf.int32)
        nearest = tf.gather(book, codes)
        return Quantized(
            vectors,
            codes,
            vectors + tf.stop_gradient(nearest - vectors),
            tf.reduce_sum((vectors - tf.stop_gradient(nearest)) ** 2, axis=-1),
        )

    def embed(self, codes: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.convert_to_tensor(self.codebook), codes)

    def start(self, vectors: np.ndarray) -> None:
        """Places the codes at the centres of k-means, reproducibly."""
        from sklearn.cluster import KMeans

        generator = np.random.default_rng(self._first_seed)
        if len(vectors) > MAX_START_VECTORS:
            vectors = vectors[generator.permutation(len(vectors))[:MAX_START_VECTORS]]
        distinct = np.unique(np.asarray(vectors, np.float32), axis=0)
        if len(distinct) > self.codebook_size:
            options = {"max_iter": START_ITERATIONS, "random_state": self._first_seed}
            found = KMeans(self.codebook_size, n_init=1, **options).fit(distinct)
            centres = found.cluster_centers_
        else:  # each vector is a code; what is left over is put at one of the batch when it is dead
            centres = np.resize(distinct, (self.codebook_size, self.dimensions))
        self.codebook.assign(centres)
        self.counts.assign(tf.zeros_like(self.counts))  # the next `update` sets them

    def update(self, found: Quantized) -> None:
        replicas = tf.distribute.get_replica_context()
        vectors = tf.stop_gradient(found.vectors)
        own = tf.ones_like(found.codes, tf.float32)
        size = self.codebook_size
        counts = tf.math.unsorted_segment_sum(own, found.codes, size)
        sums = tf.math.unsorted_segment_sum(vectors, found.codes, size)
        counts, sums, restarts = replicas.all_reduce("SUM", [counts, sums, self._restarts(vectors)])
        average = tf.reduce_sum(counts) / size
        # After k-means each code counts as an average one: with less it would soon be dead.
        placed = tf.reduce_sum(self.counts) == 0.0
        old_counts = tf.where(placed, average, self.counts)
        old_sums = tf.where(placed, self.codebook * average, self.sums)
        counts = DECAY * old_counts + (1.0 - DECAY) * counts
        sums = DECAY * old_sums + (1.0 - DECAY) * sums
        dead = counts < DEAD_SHARE * average
        counts = tf.where(dead, average, counts)
        dead = dead[:, tf.newaxis]
        sums = tf.where(dead, restarts * average, sums)
        total = tf.reduce_sum(counts)
        smoothed = (counts + SMOOTHING) / (total + size * SMOOTHING) * total
        self.counts.assign(counts)
        self.sums.assign(sums)
        self.codebook.assign(tf.where(dead, restarts, sums / smoothed[:, tf.newaxis]))

    def _restarts(self, vectors: tf.Tensor) -> tf.Tensor:
        """For each code one vector of the global batch [K, C]: this replica's own, 0 elsewhere."""
        replicas = tf.distribute.get_replica_context()
        own, number = tf.shape(vectors)[0], replicas.replica_id_in_sync_group
        # Of a batch that the replicas cannot share equally each has another number of vectors.
        counts = own * tf.one_hot(number, replicas.num_replicas_in_sync, dtype=tf.int32)
        counts = replicas.all_reduce("SUM", counts)
        place = tf.random.stateless_uniform(
            [self.codebook_size],
            self.next_seed(of_replica=False),
            maxval=tf.reduce_sum(counts),
            dtype=tf.int32,
        )
        place -= tf.cumsum(counts, exclusive=True)[number]
        here = (place >= 0) & (place < own)
        # A replica may have no vectors at all: zeros are a row of their own, the last.
        return tf.gather(tf.pad(vectors, [[0, 1], [0, 0]]), tf.where(here, place, own))
