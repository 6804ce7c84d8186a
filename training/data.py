"""From the name of a data set to batches of images, each a function of (seed, step)."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError
from tfp_vae.images import to_float
from training import sources
from training.config import InputError
from training.sources import Split

SHUFFLE_BYTES = 2**28  # what a stream holds at once to shuffle
HELD_OUT = 0.1  # share of the images for validation, and for test, where a set has no such split


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images to train on, to choose the epoch by, and to report on."""

    train: Split
    validation: Split
    test: Split
    binarise: bool  # whether the likelihood takes zeros and ones only

    def training_batches(self, batch_size, seed, start=0):
        """Batches without end, from step `start` on: float32 [batch_size, H, W, C].

        A batch is a function of (seed, step), and each pass over the images has a new order. The
        last images of a pass that do not fill a batch are left out of that pass.
        """
        train, steps = self.train, self.train.count // batch_size
        if train.pixels is not None:

            def batch(step):
                within = step % steps * batch_size + tf.range(batch_size, dtype=tf.int64)
                order = tf.random.experimental.index_shuffle(
                    within, seed=[seed, step // steps], max_index=train.count - 1
                )
                return step, tf.gather(train.pixels, order)

            batches = tf.data.Dataset.counter(start).map(batch, num_parallel_calls=2)
        else:
            held = max(batch_size, SHUFFLE_BYTES // math.prod(train.shape))

            def epoch(number):
                # Of this function's graph only: at a global seed of 0 tf.data would compare the
                # order with 0 in Python, which a tensor cannot be.
                tf.random.set_seed(1)
                order = tf.random.experimental.index_shuffle(number, [seed, 1], max_index=2**31 - 1)
                shuffled = train.stream().shuffle(held, seed=order, reshuffle_each_iteration=False)
                first = start - number * steps  # batches of this epoch that are done already
                numbered = shuffled.batch(batch_size, drop_remainder=True).enumerate(number * steps)
                return numbered.skip(tf.maximum(first, 0))

            batches = tf.data.Dataset.counter(start // steps).flat_map(epoch)
        prepared = batches.map(lambda step, images: self._prepare(images, [seed, step]))
        return prepared.prefetch(tf.data.AUTOTUNE).with_options(_of_several_workers())

    def evaluation_batches(self, name, batch_size, seed):
        """Every image of the "validation" or "test" split, in order, the same each time."""
        split = getattr(self, name)
        numbered = split.dataset().enumerate()
        prepared = numbered.map(
            lambda index, image: self._prepare(image, [seed, index]), num_parallel_calls=2
        )
        batches = prepared.batch(batch_size)
        kept = batches if split.pixels is None else batches.cache()
        return kept.prefetch(1).with_options(_of_several_workers())

    def _prepare(self, images, noise_seed):
        images = to_float(images)
        if self.binarise:
            noise = tf.random.stateless_uniform(tf.shape(images), seed=noise_seed)
            images = tf.cast(noise < images, tf.float32)
        return images


def _of_several_workers():
    """Each takes its part of every batch; by itself tf.data deals out a reader's files instead."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def load(config):
    """The `Splits` of a `Config`'s data set.

    Raises:
      InputError: no such data set, or images that cannot be used; nothing has been written.
    """
    try:
        named = sources.read(config)
        shapes = {name: split.shape for name, split in named.items()}
        if len(set(shapes.values())) > 1:
            raise ImageError(f"splits of different image shapes: {shapes}")
        named = _with_all_splits(named, config.seed)
    except ImageError as error:
        raise InputError(f"--dataset {config.dataset}: {error}") from error
    splits = Splits(**named, binarise=config.likelihood == "independent_bernoulli")
    _check_kind(splits, config)
    if config.batch_size > splits.train.count:
        raise InputError(
            f"--batch-size {config.batch_size}: expected at most the {splits.train.count} "
            f"training images of {config.dataset}"
        )
    return splits


def _check_kind(splits, config):
    """Refuses a density on images whose pixels are all 0 or 1: it has no maximum."""
    fixed = not isinstance(config.likelihood_scale, str)
    if splits.binarise or (config.likelihood == "independent_normal" and fixed):
        return
    values = np.unique(to_float(splits.train.head(1000)))
    if np.array_equal(values, [0.0, 1.0]):
        raise InputError(
            f"--likelihood {config.likelihood}: the pixels of {config.dataset} are 0 or 1 only: "
            "expected grey levels; use independent_bernoulli"
        )


def _with_all_splits(named, seed):
    """Adds the splits that are missing, from the training images, chosen by the seed."""
    missing = [name for name in ("validation", "test") if name not in named]
    train = named["train"]
    share = max(1, round(HELD_OUT * train.count))
    if train.count <= share * len(missing):
        raise ImageError(f"{train.count} images: expected at least {len(missing) + 1}, to split")
    parts = {name: (share * i, share * (i + 1)) for i, name in enumerate(missing)}
    parts["train"] = (share * len(missing), train.count)
    return {**named, **{name: _part(train, *bounds, seed) for name, bounds in parts.items()}}


def _part(split, start, stop, seed):
    """The images whose places in a random order, a function of the seed, are start..stop - 1."""

    def chosen(index):
        place = tf.random.experimental.index_shuffle(index, [seed, 0], max_index=split.count - 1)
        return (place >= start) & (place < stop)

    def kept_labels():
        return split.labels()[chosen(tf.range(split.count, dtype=tf.int64)).numpy()]

    labels = kept_labels if split.labels else None
    if split.pixels is not None:
        kept = tf.boolean_mask(split.pixels, chosen(tf.range(split.count, dtype=tf.int64)))
        return Split(stop - start, split.shape, pixels=kept, labels=labels)

    def stream():
        numbered = split.stream().enumerate().filter(lambda index, _: chosen(index))
        images = numbered.map(lambda _, image: image)
        # Keras asks for the length of what it evaluates, which TensorFlow cannot know of a filter.
        return images.apply(tf.data.experimental.assert_cardinality(stop - start))

    return Split(stop - start, split.shape, stream=stream, labels=labels)
