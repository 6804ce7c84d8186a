"""Random numbers that a layer draws as a function of its seed and of how often it has drawn."""

import numpy as np
import tensorflow as tf


class CountedDraws:
    """Gives a Keras layer the seed of each of its draws.

    The number of draws so far is a variable and so in every checkpoint: a run that is resumed with
    the same seed continues the same sequence of draws. Replicas draw other noise.
    """

    def count_draws(self, seed: int | None, name: str = "draws") -> None:
        """Makes the variable; to be called by the layer's constructor, after that of Keras.

        Args:
          seed: integer; None draws it from NumPy's global state, which
            `tf_keras.utils.set_random_seed` sets.
          name: of the variable; a .h5 of weights takes no two of one name in a model.
        """
        self._first_seed = np.random.randint(2**31) if seed is None else seed
        # Per-replica counter: replicas draw equally often, so no synchronisation is needed.
        self._draws = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name=name,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def next_seed(self, of_replica: bool = True) -> tf.Tensor:
        """The seed of one more draw, int64 [2].

        Args:
          of_replica: whether each replica has its own; otherwise all have the same.
        """
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None or not of_replica else context.replica_id_in_sync_group
        first = tf.cast(replica, tf.int64) * 2**32 + self._first_seed
        return tf.stack([first, self._draws.assign_add(1)])
