"""The images of a run in three splits, and batches of them as functions of (seed, step)."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfp_vae.errors import ImageError, InputError
from tfp_vae.images.convert import to_float
from tfp_vae.layers import LIKELIHOODS
from training import choices
from training.config import Config
from training.data import sources
from training.data.split import Split

SHUFFLE_BYTES = 2**28  # of pixels that a stream buffers at once to shuffle
MIRROR_STREAM = 1  # folded into the seed, so that binarising draws other numbers
HELD_OUT_FRACTION = 0.1  # of the images for validation, and for test, where a set lacks them


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images to train on, to choose the epoch by, and to report on."""

    train: Split
    validation: Split
    test: Split
    binarise: bool  # whether the likelihood takes zeros and ones only
    mirror: bool = False  # whether half of the training images, at random, are mirrored

    def training_batches(self, batch_size: int, seed: int, start: int = 0) -> tf.data.Dataset:
        """Batches without end, from step `start` on: float32 [batch_size, H, W, C].

        A batch is a function of (seed, step), and each pass over the images has a new order. The
        last images of a pass that do not fill a batch are left out of that pass.
        """
        train, steps = self.train, self.train.count // batch_size
        if train.pixels is not None:

            def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                within = step % steps * batch_size + tf.range(batch_size, dtype=tf.int64)
                order = tf.random.experimental.index_shuffle(
                    within, seed=[seed, step // steps], max_index=train.count - 1
                )
                return step, tf.gather(train.pixels, order)

            batches = tf.data.Dataset.counter(start).map(batch, num_parallel_calls=2)
        else:
            held = max(batch_size, SHUFFLE_BYTES // math.prod(train.shape))

            def epoch(number: tf.Tensor) -> tf.data.Dataset:
                # Set the seed of this function's graph only. With a global seed of 0, tf.data would
                # compare the seed of the shuffle with 0 in Python, which fails for a tensor.
                tf.random.set_seed(1)
                order = tf.random.experimental.index_shuffle(number, [seed, 1], max_index=2**31 - 1)
                shuffled = train.stream().shuffle(held, seed=order, reshuffle_each_iteration=False)
                done = tf.maximum(start - number * steps, 0)  # batches of this epoch
                images = train.decoded(shuffled.skip(done * batch_size))
                left = images.batch(batch_size, drop_remainder=True)
                return left.enumerate(number * steps + done)

            batches = tf.data.Dataset.counter(start // steps).flat_map(epoch)
        prepared = batches.map(
            lambda step, images: self._prepare(self._mirrored(images, [seed, step]), [seed, step])
        )
        return prepared.prefetch(tf.data.AUTOTUNE).with_options(_sharding())

    def evaluation_batches(self, name: str, batch_size: int, seed: int) -> tf.data.Dataset:
        """Every image of the "validation" or "test" split, in order, the same each time."""
        split = getattr(self, name)
        numbered = split.dataset().enumerate()
        prepared = numbered.map(
            lambda index, image: self._prepare(image, [seed, index]), num_parallel_calls=2
        )
        batches = prepared.batch(batch_size)
        kept = batches if split.pixels is None else batches.cache()
        return kept.prefetch(1).with_options(_sharding())

    def _mirrored(self, images: tf.Tensor, seed: list) -> tf.Tensor:
        if not self.mirror:
            return images
        seed = tf.random.experimental.stateless_fold_in(seed, MIRROR_STREAM)
        chosen = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed) < 0.5
        return tf.where(chosen, tf.reverse(images, axis=[2]), images)

    def _prepare(self, images: tf.Tensor, noise_seed: list) -> tf.Tensor:
        images = to_float(images)
        if self.binarise:
            noise = tf.random.stateless_uniform(tf.shape(images), seed=noise_seed)
            images = tf.cast(noise < images, tf.float32)
        return images


def _sharding() -> tf.data.Options:
    """Each worker takes its share of every batch; by default tf.data would shard the files."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def load(config: Config) -> Splits:
    """The `Splits` of a `Config`'s data set, for what `training.choices` makes of the `Config`.

    Raises:
      InputError: no such data set, or images that cannot be used; nothing has been written.
    """
    named = read(config)
    return prepared(named, choices.choose(config, named["train"])[0])


def read(config: Config) -> dict[str, Split]:
    """The training, validation and test images of a `Config`'s data set, by name.

    Raises:
      InputError: no such data set, or images that cannot be used; nothing has been written.
    """
    try:
        named = sources.read(config)
        shapes = {name: split.shape for name, split in named.items()}
        if len(set(shapes.values())) > 1:
            raise ImageError(f"splits of different image shapes: {shapes}")
        return _with_all_splits(named, config.seed)
    except ImageError as error:
        raise InputError(f"--dataset {config.dataset}: {error}") from error


def prepared(named: dict[str, Split], config: Config) -> Splits:
    """The `Splits` of images as `read` returns them.

    Args:
      named: the images.
      config: without an `auto` that `training.choices` would replace.

    Raises:
      InputError: images that the likelihood or the batch size does not allow.
    """
    likelihood = LIKELIHOODS[config.likelihood].classes()[0]
    splits = Splits(**named, binarise=likelihood.binary, mirror=config.mirror)
    if not likelihood.discrete:
        _check_density(splits, config)
    if config.batch_size > splits.train.count:
        raise InputError(
            f"--batch-size {config.batch_size}: expected at most the {splits.train.count} "
            f"training images of {config.dataset}"
        )
    return splits


def _check_density(splits: Splits, config: Config) -> None:
    """Refuses a density with a learned scale on pixels that are all 0 or 1: it has no maximum."""
    scale = config.part_options.get("likelihood_scale", "shared")
    if not isinstance(scale, str):
        return
    pixels = to_float(splits.train.head(splits.train.sample_size)).numpy()
    if np.ptp(pixels) == 1.0 and np.all((pixels == 0.0) | (pixels == 1.0)):
        raise InputError(
            f"--likelihood {config.likelihood}: the pixels of {config.dataset} are 0 or 1 only: "
            "expected grey levels; use independent_bernoulli"
        )


def _with_all_splits(named: dict[str, Split], seed: int) -> dict[str, Split]:
    """Adds the splits that are missing, from the training images, chosen by the seed."""
    missing = [name for name in ("validation", "test") if name not in named]
    train = named["train"]
    share = max(1, round(HELD_OUT_FRACTION * train.count))
    if train.count <= share * len(missing):
        raise ImageError(f"{train.count} images: expected at least {len(missing) + 1}, to split")
    parts = {name: (share * i, share * (i + 1)) for i, name in enumerate(missing)}
    parts["train"] = (share * len(missing), train.count)
    return {**named, **{name: _part(train, *bounds, seed) for name, bounds in parts.items()}}


def _part(split: Split, start: int, stop: int, seed: int) -> Split:
    """The images whose places in a random order, a function of the seed, are start..stop - 1."""

    def chosen(index: tf.Tensor) -> tf.Tensor:
        place = tf.random.experimental.index_shuffle(index, [seed, 0], max_index=split.count - 1)
        return (place >= start) & (place < stop)

    def kept_labels() -> np.ndarray:
        return split.labels()[chosen(tf.range(split.count, dtype=tf.int64)).numpy()]

    named = {"labels": kept_labels if split.labels else None, "label_names": split.label_names}
    if split.pixels is not None:
        kept = tf.boolean_mask(split.pixels, chosen(tf.range(split.count, dtype=tf.int64)))
        return Split(stop - start, split.shape, pixels=kept, **named)

    def stream() -> tf.data.Dataset:
        numbered = split.stream().enumerate().filter(lambda index, _: chosen(index))
        elements = numbered.map(lambda _, element: element)
        # Keras needs the number of images to evaluate, which TensorFlow cannot tell of a filter.
        return elements.apply(tf.data.experimental.assert_cardinality(stop - start))

    return dataclasses.replace(split, count=stop - start, stream=stream, **named)
