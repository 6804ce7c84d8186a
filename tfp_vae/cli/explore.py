"""The command that serves a page on a model's latent space."""

import importlib.util
import signal
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.errors import CommandError, InputError, Interrupted

if TYPE_CHECKING:
    from tfp_vae.explorer.collection import EncodedCollection
    from tfp_vae.images.colours import Colour
    from tfp_vae.images.sources import Collection
    from tfp_vae.inference.model import InferenceModel

MAX_PORT = 2**16 - 1


def explore(
    run: cli.Run,
    images: cli.Images | None = None,
    /,
    *,
    port: Annotated[
        cli.Integer,
        Parameter(validator=Number(gte=0, lte=MAX_PORT), help="Port of this machine; 0: any."),
    ] = 5006,
    limit: Annotated[
        cli.Count, Parameter(help="Most images on the map; of more, evenly spaced ones.")
    ] = 10_000,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Serve a page on which the latent space can be explored, for a browser on this machine.

    Without IMAGES its map is of those that the run was trained for, if they can be read.
    """
    if importlib.util.find_spec("bokeh") is None:
        raise CommandError('explore needs Bokeh: pip install "tfp-vae[explore]"')
    try:
        _serve(run, images, port, limit, reading)
    except KeyboardInterrupt:  # before the server handles signals itself
        raise Interrupted(signal.SIGINT, "stopped") from None


def _serve(
    run: cli.Run, images: list[str] | None, port: int, limit: int, reading: cli.Reading
) -> None:
    from tfp_vae.explorer import server

    with server.bind(port) as listening:  # first: a busy port is said at once
        model, collection, background = _read(run, images, limit, reading)
        made = server.make(listening, model, collection, background)
        url = server.address(listening)
        server.serve(made, lambda: print(f"{url}  (Ctrl-C ends it)", flush=True))


def _read(
    run: cli.Run, images: list[str] | None, limit: int, reading: cli.Reading
) -> "tuple[InferenceModel, EncodedCollection | None, Colour]":
    """The model, the images encoded, and what transparent images are composited on."""
    import tfp_vae
    from tfp_vae.cli import inputs
    from tfp_vae.explorer.collection import EncodedCollection

    model = tfp_vae.load(run)
    background = inputs.background(model, reading)
    found = inputs.read(model, images, reading) if images else _own_images(model, reading)
    collection = None if found is None else EncodedCollection(model, found.evenly(limit))
    return model, collection, background


def _own_images(model: "InferenceModel", reading: cli.Reading) -> "Collection | None":
    """The images of the run's data set; None where they cannot be read, which a line says."""
    from tfp_vae.cli import inputs
    from tfp_vae.explorer import default_images
    from tfp_vae.saved_model.load import read_json

    assert model.path is not None
    settings = read_json(model.path, "config.json")
    try:
        background = inputs.background(model, reading)
        found = default_images.read(settings, model.image_shape, background, reading.skip_damaged)
    except (InputError, OSError) as error:
        print(one_line(f"no map, samples only: give IMAGES for one ({error})"), flush=True)
        return None
    if found.left_out:
        print(one_line(found.left_out), flush=True)
    return found
