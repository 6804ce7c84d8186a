"""The images of a benchmark: read once, and written as one array for every program to load."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfp_vae.errors import ImageError, InputError
from tfp_vae.models.build import INPUT_NOISE
from tfp_vae.models.statistics import Statistics
from training.config import Config
from training.data import sources
from training.run import loop


class Images(NamedTuple):
    """Images in a file, and what the programs need to know of them.

    Attributes:
      count: of images.
      shape: (H, W, C) of an image.
      settings: for the programs: the file, and the statistics that a model takes.
      decoding: of a folder, how fast its files were read and decoded; None for other sources.
    """

    count: int
    shape: tuple[int, int, int]
    settings: dict[str, Any]
    decoding: dict[str, float] | None


def write(dataset: str, data_dir: str | None, path: Path) -> Images:
    """Writes all training images of a data set to `path`, a `.npy` of uint8 [N, H, W, C].

    Raises:
      InputError: no such data set, or images that a benchmark cannot use.
    """
    loop.silence()
    start = time.perf_counter()
    try:
        train = sources.read(Config(dataset=dataset, data_dir=data_dir))["train"]
    except ImageError as error:
        raise InputError(f"--dataset {dataset}: {error}") from error
    seconds = time.perf_counter() - start
    if train.pixels is None or train.pixels.dtype.name != "uint8":
        raise InputError(f"--dataset {dataset}: expected uint8 images that fit in memory")
    np.save(path, train.pixels.numpy())
    statistics = Statistics.of(train.head(train.sample_size).numpy(), train.shape)
    settings = {
        "images": str(path),
        "count": train.count,
        "channel_means": statistics.channel_means.tolist(),
        "channel_deviations": np.sqrt(statistics.channel_variances).tolist(),
        "deviation": statistics.deviation,
        "input_noise": INPUT_NOISE,
    }
    decoding = None
    if Path(dataset).is_dir():
        speed = train.count / seconds
        decoding = {"images": train.count, "seconds": seconds, "images_per_second": speed}
    return Images(train.count, train.shape, settings, decoding)
