"""Times `model.fit` of tfp_vae as `training.fit` calls it.

The variant `stock` trains the tutorial's model on the same batches; `input` takes the batches
alone.
"""

import sys

import stock_model
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from families import FAMILIES
from protocol import Absent, serve

import tfp_vae
from tfp_vae.layers import LIKELIHOODS
from training.config import Config
from training.data.split import Split
from training.data.splits import Splits
from training.run import loop, strategies


def build(settings):
    if settings.variant == "stock" and settings.family:
        raise Absent(f"has no {settings.family}")
    loop.silence()
    parts = {
        "network": settings.network,
        "activation": settings.activation,
        "filters": settings.filters,
        "posterior": settings.posterior,
        "likelihood": settings.likelihood,
        "latent_size": settings.latent_size,
        "batch_size": settings.batch_size,
        "mixed_precision": settings.bfloat16,
        "learning_rate_schedule": "constant",  # as the others
        "dropout": 0.0,  # likewise
    }
    if settings.family == "codes":
        del parts["posterior"], parts["latent_size"]  # codes have neither
    config = Config(**{**parts, **FAMILIES[settings.family]})
    train_split = Split(
        len(settings.images), settings.images.shape[1:], pixels=tf.constant(settings.images)
    )
    binarise = LIKELIHOODS[config.likelihood].classes()[0].binary
    splits = Splits(train_split, train_split, train_split, binarise)
    batches = splits.training_batches(config.batch_size, config.seed)
    versions = {"tensorflow": tf.__version__}
    if settings.variant == "input":
        return versions, lambda clock: take(batches, settings.steps, clock)
    if settings.variant == "stock":
        vae = stock_model.build(config, train_split.shape)
        batches = batches.map(lambda images: (images, images))
    else:
        vae = loop.build(config, splits.train, strategies.make(config))

    def train(clock):
        class Turns(tf_keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                clock()

        # One endless fit: a fit for each turn would start the input pipeline anew each time.
        vae.fit(
            batches,
            epochs=sys.maxsize,
            steps_per_epoch=settings.steps,
            callbacks=[Turns()],
            verbose=0,
        )

    versions["tensorflow_probability"] = tfp.__version__
    return {**versions, "tf_keras": tf_keras.__version__, "tfp_vae": tfp_vae.__version__}, train


def take(batches, steps, clock):
    """Takes batches without end, as `train` of `protocol.serve`."""
    turn = steps
    while True:
        # A new iterator after each pause: the old one has filled its queue in the meantime.
        for step, _ in enumerate(batches.take(turn), 1):
            if step % steps == 0:
                clock()
        turn = 2 * steps  # untimed, and timed


serve(build, families=FAMILIES)
