"""Training on more than one device or machine: a `tf.distribute` strategy by name."""

import json
import os

import tensorflow as tf

from training.config import InputError

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


def make(name):
    """The strategy of `--strategy`; of several workers, it waits for the others."""
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()
