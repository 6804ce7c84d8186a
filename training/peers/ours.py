"""Times `model.fit` of tfp_vae as `training.fit` calls it, or (`variant: stock`) the tutorial's."""

import sys

import stock_model
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from protocol import serve

import tfp_vae
from training.config import Config
from training.data.split import Split
from training.data.splits import Splits
from training.run import loop, strategies


def build(settings):
    loop.silence()
    config = Config(
        network=settings.network,
        activation=settings.activation,
        posterior=settings.posterior,
        latent_size=settings.latent_size,
        batch_size=settings.batch_size,
        mixed_precision=settings.bfloat16,
    )
    train_split = Split(
        len(settings.images), settings.images.shape[1:], pixels=tf.constant(settings.images)
    )
    splits = Splits(train_split, train_split, train_split, binarise=True)
    batches = splits.training_batches(config.batch_size, config.seed)
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

    versions = {"tensorflow": tf.__version__, "tensorflow_probability": tfp.__version__}
    return {**versions, "tf_keras": tf_keras.__version__, "tfp_vae": tfp_vae.__version__}, train


serve(build)
