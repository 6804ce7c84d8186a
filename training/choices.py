"""The settings that are `auto`, chosen by the images: likelihood, network, epochs, dropout."""

import math
from typing import Any, NamedTuple

import numpy as np

from tfp_vae.images.convert import to_float
from tfp_vae.models import MAP_POSTERIOR, MODELS_OF_CODES, PARTS
from training.config import Config
from training.data.split import Split

NEAR = 0.3  # of 0 or 1, where pixels count as black or white
# The most noise that binarising may add: 4x(1 - x) on average, which is 1 for grey and 0 for black
# and white. Digits have 0.28, MNIST has 0.07, photographs have 0.7 to 0.9.
MAX_BINARISING_NOISE = 0.3
MAX_DENSE_VALUES = 1024  # pixels times channels, up to which a dense network is best
# Passes over the images, and steps at most: more of them gain little. Measured on digits and MNIST
# (dense), on faces and CIFAR-10 (resnet), where longer runs fit their training images; conv has the
# numbers of resnet.
PASSES = {"dense": 200, "conv": 24, "resnet": 24}
MAX_STEPS = {"dense": 100_000, "conv": 10_000, "resnet": 10_000}
MIN_STEPS, MAX_EPOCHS = 2000, 200
PATIENCE = 0.2  # of the epochs
# Of a residual network, which fits its training images in so many passes: it is worth 90 nats on
# 64x64 faces.
DROPOUT = 0.1
# Whoever gives the number of epochs wants that many. The step size stays constant only where the
# likelihood has no scale: with one that costs 130 nats on 64x64 faces after 30 epochs (dense).
AS_IN_0_1_0 = {"patience": 0, "learning_rate_schedule": "constant", "dropout": 0.0}


class Choice(NamedTuple):
    """The value of a setting that was `auto`, and why."""

    value: Any
    why: str


def choose(config: Config, train: Split) -> tuple[Config, dict[str, Choice]]:
    """`config` with every `auto` replaced, and the choices by the name of the setting.

    Args:
      config: the settings as given.
      train: the training images, not yet binarised.
    """
    choices: dict[str, Choice] = {}
    if not config.chosen_later:
        return config, choices

    def chosen(name: str, choice: Choice) -> Any:
        if name not in config.chosen_later:
            return getattr(config, name)
        choices[name] = choice
        return choice.value

    network = chosen("network", _network(config.model, train.shape))
    likelihood = chosen("likelihood", _likelihood(train))
    epochs = chosen("epochs", _epochs(network, train.count // config.batch_size))
    values = {"network": network, "likelihood": likelihood, "epochs": epochs}
    if "posterior" in config.chosen_later and network != "dense":
        maps = Choice(MAP_POSTERIOR, "levels on feature maps")
        values["posterior"] = chosen("posterior", maps)
    if "epochs" in choices:
        fifth = Choice(max(math.ceil(PATIENCE * epochs), 1), "a fifth of the epochs")
        values["patience"] = chosen("patience", fifth)
    scaled = "likelihood_scale" in PARTS["likelihood"][likelihood].options
    if "epochs" in choices or scaled:
        why = "for these epochs" if "epochs" in choices else "the likelihood has a scale"
        values["learning_rate_schedule"] = chosen("learning_rate_schedule", Choice("cosine", why))
    if "epochs" in choices and scaled and (config.model, network) == ("vae", "resnet"):
        values["dropout"] = chosen("dropout", Choice(DROPOUT, "so many passes"))
    given = config.model_dump(exclude=set(config.chosen_later))
    return Config(**{**AS_IN_0_1_0, **values, **given}), choices


def sentence(choices: dict[str, Choice]) -> str:
    """The choices in one line."""
    each = ", ".join(f"{name} {value} ({why})" for name, (value, why) in choices.items())
    return f"chosen for these images: {each}"


def _network(model: str, shape: tuple[int, int, int]) -> Choice:
    if model in MODELS_OF_CODES:
        return Choice("resnet", "codes on a grid")
    size = "x".join(map(str, shape))
    if math.prod(shape) <= MAX_DENSE_VALUES:
        return Choice("dense", f"{size} pixels, at most {MAX_DENSE_VALUES:,} values")
    return Choice("resnet", f"{size} pixels, more than {MAX_DENSE_VALUES:,} values")


def _likelihood(train: Split) -> Choice:
    pixels = to_float(train.head(train.sample_size)).numpy()
    black, white = np.mean(pixels <= NEAR), np.mean(pixels >= 1.0 - NEAR)
    noise = np.mean(4.0 * pixels * (1.0 - pixels))
    if not noise:
        return Choice("independent_bernoulli", "all pixels are 0 or 1")
    if train.shape[-1] > 1:
        return Choice("independent_normal", "colour")
    if noise < MAX_BINARISING_NOISE and 1.0 - black - white < min(black, white):
        return Choice("independent_bernoulli", "nearly all pixels are near 0 or 1")
    return Choice("independent_normal", "grey levels")


def _epochs(network: str, steps_per_epoch: int) -> Choice:
    steps = min(max(PASSES[network] * steps_per_epoch, MIN_STEPS), MAX_STEPS[network])
    epochs = min(math.ceil(steps / max(steps_per_epoch, 1)), MAX_EPOCHS)
    return Choice(epochs, f"{epochs * steps_per_epoch:,} steps")
