"""The images that a run was trained for, where they are on this machine."""

from pathlib import Path
from typing import Any

from tfp_vae.errors import InputError
from tfp_vae.images import array_sources, arrays, digits, sources, tfds
from tfp_vae.images.array_sources import Shape
from tfp_vae.images.colours import Colour
from tfp_vae.images.sources import Collection

SPLITS = ("test", "validation", "train")  # the first that there is


def read(
    settings: dict[str, Any], image_shape: Shape, background: Colour, skip_damaged: bool = False
) -> Collection:
    """The images of the data set that a `config.json` names: the test images, if they are a split.

    Args:
      settings: what `config.json` holds.
      image_shape: (H, W, C) of the model.
      background: what transparent images are composited on.
      skip_damaged: whether to leave out damaged files, as a run does that was told to.

    Raises:
      InputError: no data set is named, or its images cannot be read here.
    """
    name = settings.get("dataset")
    if not isinstance(name, str):
        raise InputError("config.json names no data set: expected IMAGES")
    if name == digits.NAME:
        pixels, classes = digits.load()
        names = [f"digits:{row}" for row in range(len(pixels))]
        labels = [str(each) for each in classes]
        return Collection(array_sources.converted(pixels, image_shape), names, labels)
    data_dir = settings.get("data_dir")
    return sources.read(
        [_source(name, data_dir)],
        image_shape,
        resize=True,
        background=background,
        skip_damaged=skip_damaged or settings.get("skip_damaged") is True,
        data_dir=data_dir,
    )


def _source(name: str, data_dir: str | None) -> str:
    if name.lower().endswith(".npz"):
        return f"{name}:{_split(list(arrays.read_arrays(name)))}"
    if name.lower().endswith(".npy") or Path(name).is_dir():
        return name
    return f"{tfds.PREFIX}{name}:{_split(tfds.DataSet(name, data_dir).splits)}"


def _split(names: list[str]) -> str:
    return next((split for split in SPLITS if split in names), names[0])
