"""The learning rate of a run: constant, or falling to 0 along a cosine."""

import tf_keras

from training.config import Config

Rate = float | tf_keras.optimizers.schedules.LearningRateSchedule


def of(config: Config, steps: int) -> Rate:
    """The rate of each of `steps` steps."""
    if config.learning_rate_schedule == "constant":
        return config.learning_rate
    # Loshchilov and Hutter (2017), without restarts.
    return tf_keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)


def keep_constant(model: tf_keras.Model, config: Config) -> None:
    """Makes the rate that of the first step, for whoever trains on: that of the last is 0."""
    if config.learning_rate_schedule != "constant":
        # Of an optimizer that was made with a schedule only that may be exchanged.
        constant = tf_keras.optimizers.schedules.CosineDecay(config.learning_rate, 1, alpha=1.0)
        model.optimizer.learning_rate = constant
