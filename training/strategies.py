"""Training on more than one device or machine: a `tf.distribute` strategy by name."""

import json
import math
import os

import tensorflow as tf

from training.config import InputError

EVALUATION_BATCH = 500  # images at most
ACCEPTED = "the JSON that TensorFlow documents: a cluster with worker, a task with type and index"


def is_chief(name):
    """Whether this process writes the run: of several workers, the first does.

    Raises:
      InputError: no TF_CONFIG that TensorFlow can use.
    """
    if name != "multi_worker":
        return True
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text)
        cluster, kind, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        known = kind in ("worker", "chief") and isinstance(cluster[kind], list)
        known = known and type(index) is int and 0 <= index < len(cluster[kind])
    except (ValueError, LookupError, TypeError):
        known = False
    if not known:
        shown = text or "is not set"
        raise InputError(f"--strategy multi_worker: TF_CONFIG {shown}: expected {ACCEPTED}")
    return kind == "chief" or (index == 0 and "chief" not in cluster)


def make(config):
    """The strategy of a `Config`; of several workers, it waits for the others.

    Raises:
      InputError: no TF_CONFIG that TensorFlow can use, or a batch that cannot be shared equally.
    """
    strategy = tf.distribute.get_strategy()
    if config.strategy == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
    if config.strategy == "multi_worker":
        try:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (ValueError, TypeError) as error:
            raise InputError(f"--strategy multi_worker: TF_CONFIG: {error}") from error
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:  # the mean of means would not be the mean
        raise InputError(
            f"--batch-size {config.batch_size}: expected a multiple of {replicas}, "
            f"the devices of --strategy {config.strategy}"
        )
    return strategy


def evaluation_batch(count, strategy):
    """The most images in a batch such that no replica is left without one in any of `count`.

    TensorFlow gives each of R replicas ceil(n / R) of a batch of n while there are any, and its
    fused convolutions refuse a batch of none.

    Raises:
      InputError: fewer images than replicas.
    """
    replicas = strategy.num_replicas_in_sync

    def shared(n):
        return (replicas - 1) * math.ceil(n / replicas) < n

    for size in range(EVALUATION_BATCH, 0, -1):
        if shared(size) and (count % size == 0 or shared(count % size)):
            return size
    raise InputError(f"{count} images to evaluate: expected one for each of {replicas} devices")
