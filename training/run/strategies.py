"""Training on more than one device or machine: a `tf.distribute` strategy by name."""

import json
import math
import os

import tensorflow as tf

from tfp_vae.errors import InputError
from training.config import Config

MAX_EVALUATION_BATCH = 500  # images
MAX_EVALUATION_VALUES = 2**24  # of them in all: 341 images of 128x128x3
TF_CONFIG_FORMAT = (
    "the JSON that TensorFlow documents: a cluster with worker, a task with type and index"
)


def is_chief(name: str) -> bool:
    """Whether this process writes the run: the only one, or the first of several workers.

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
        raise InputError(f"--strategy multi_worker: TF_CONFIG {shown}: expected {TF_CONFIG_FORMAT}")
    return kind == "chief" or (index == 0 and "chief" not in cluster)


def make(config: Config) -> tf.distribute.Strategy:
    """The strategy of a `Config`; one of several workers waits here for the others.

    Raises:
      InputError: no TF_CONFIG that TensorFlow can use, or a batch size that is no multiple of the
        number of devices.
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
    if config.batch_size % replicas:  # the mean over replicas would not be that over images
        raise InputError(
            f"--batch-size {config.batch_size}: expected a multiple of {replicas}, "
            f"the devices of --strategy {config.strategy}"
        )
    return strategy


def evaluation_batch(
    count: int, strategy: tf.distribute.Strategy, image_shape: tuple[int, ...] = ()
) -> int:
    """The largest batch size for `count` images that leaves no replica without an image.

    At most 500 images, and fewer where they are large.

    TensorFlow gives R replicas ceil(n / R) images each of a batch of n, until none are left, and
    its fused convolutions refuse an empty batch.

    Raises:
      InputError: fewer images than replicas.
    """
    replicas = strategy.num_replicas_in_sync

    def every_replica_has_one(n: int) -> bool:
        return (replicas - 1) * math.ceil(n / replicas) < n

    most = min(MAX_EVALUATION_BATCH, MAX_EVALUATION_VALUES // math.prod(image_shape))
    for size in range(max(most, replicas), 0, -1):
        last = count % size or size
        if every_replica_has_one(size) and every_replica_has_one(last):
            return size
    raise InputError(f"{count} images to evaluate: expected one for each of {replicas} devices")
