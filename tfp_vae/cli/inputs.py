"""The images that a command reads for a model, with the flags that say how."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfp_vae.cli.app import one_line, shown
from tfp_vae.cli.arguments import Conversion, Reading
from tfp_vae.errors import InputError
from tfp_vae.images import sources
from tfp_vae.images.colours import BLACK, Colour, colour
from tfp_vae.images.sources import Collection
from tfp_vae.saved_model.load import read_json

if TYPE_CHECKING:
    from tfp_vae.inference.model import InferenceModel


def read(
    model: "InferenceModel", images: Sequence[str], flags: Reading, *, need_labels: bool = False
) -> Collection:
    """The images of sources for a model; prints a line where damaged files are left out.

    Raises:
      InputError: as `sources.read`, or a `config.json` whose background is no colour.
    """
    found = sources.read(
        images,
        model.image_shape,
        resize=flags.resize,
        background=background(model, flags),
        skip_damaged=flags.skip_damaged,
        need_labels=need_labels,
    )
    if found.left_out:
        print(one_line(found.left_out))
    return found


def read_one(model: "InferenceModel", image: str, flags: Conversion) -> Collection:
    """The one image of a source for a model.

    Raises:
      InputError: as `read`, or the source has several images.
    """
    return sources.read_alone(
        image, model.image_shape, resize=flags.resize, background=background(model, flags)
    )


def background(model: "InferenceModel", flags: Conversion) -> Colour:
    """What the flag says, else the `config.json` of the run that made the model, else black.

    Raises:
      InputError: a `config.json` that is damaged, or whose background is no colour.
    """
    if flags.background is not None:
        return colour(flags.background)
    if model.path is None:  # a model in memory
        return BLACK
    given = read_json(model.path, "config.json").get("background", "black")
    try:
        return colour(str(given))
    except ValueError as error:
        file = model.path / "config.json"
        raise InputError(f"{file}: background {shown(given)}: {error}") from error


def label_of(image: str, found: Collection, known: Sequence[str]) -> str | None:
    """The label of the one image of a source.

    Args:
      image: the source.
      found: what `read_one` returned for it.
      known: labels; the nearest folder above an image file that is among them is its label.

    Returns:
      None where the image has no label.
    """
    if found.labels is not None:
        return found.labels[0]
    if sources.is_array(image):
        return None
    folders = (folder.name for folder in Path(found.names[0]).absolute().parents)
    return next((folder for folder in folders if folder in known), None)
