"""The server of the page: on the loopback address, for browsers of this machine."""

import errno
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn

import bokeh
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado import httpserver, httputil, web
from tornado.ioloop import IOLoop
from tornado.routing import Router

from tfp_vae.errors import InputError, Interrupted
from tfp_vae.explorer.collection import EncodedCollection
from tfp_vae.explorer.page import add_page
from tfp_vae.explorer.pictures import png
from tfp_vae.explorer.state import State
from tfp_vae.explorer.upload_panel import MAX_FILE_BYTES
from tfp_vae.images.colours import BLACK, Colour
from tfp_vae.inference.model import InferenceModel

ADDRESS = "127.0.0.1"
MAX_MESSAGE_BYTES = 2 * MAX_FILE_BYTES  # a file in base64 takes 4/3 of its size


class Thumbnail(web.RequestHandler):
    """One image of the collection, as a PNG."""

    def initialize(self, collection: EncodedCollection) -> None:
        """Takes the collection."""
        self.collection = collection

    def get(self, row: str) -> None:
        """Sends the image of a row."""
        if int(row) >= len(self.collection.names):
            raise web.HTTPError(404)
        self.set_header("Content-Type", "image/png")
        self.set_header("Cache-Control", "max-age=3600")
        self.write(png(self.collection.image(int(row))))


class LocalRouter(Router):
    """Passes requests on that name this server, and that no page of another origin makes.

    The browser of a person may run pages of other people. Such a page names its own origin in what
    it asks of another one, or, if its host's name was made to mean 127.0.0.1 (DNS rebinding), has
    that name in the header Host. Of its pictures, scripts and frames, which have no origin, the
    browser says that they are asked for across sites; a link to this page may be followed.
    """

    def __init__(self, application: BokehTornado, port: int) -> None:
        self.application = application
        self.hosts = hosts(port)

    def find_handler(self, request: httputil.HTTPServerRequest, **_: Any) -> Any:
        """The application's handler, or one that answers 403."""
        origins = [*(f"http://{host}" for host in self.hosts), None]
        headers = request.headers
        own = headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
        own = own or headers.get("Sec-Fetch-Dest") == "document"
        if own and request.host in self.hosts and headers.get("Origin") in origins:
            return self.application.find_handler(request)
        refused = {"status_code": 403}
        return self.application.get_handler_delegate(request, web.ErrorHandler, refused)


def hosts(port: int) -> list[str]:
    """The names of this server, with its port."""
    names = [f"{name}:{port}" for name in (ADDRESS, "localhost")]
    return names if port != 80 else [*names, ADDRESS, "localhost"]


def bind(port: int) -> socket.socket:
    """A socket that listens on a port of the loopback address; 0 is any free one.

    Raises:
      InputError: the port is busy, or not for this user.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind((ADDRESS, port))
    except OSError as error:
        listening.close()
        why = "busy" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
        raise InputError(f"--port {port}: {why}: expected a free port") from error
    listening.listen(128)
    listening.setblocking(False)
    return listening


def address(listening: socket.socket) -> str:
    """What a browser opens."""
    return f"http://{ADDRESS}:{listening.getsockname()[1]}/"


def make(
    listening: socket.socket,
    model: InferenceModel,
    collection: EncodedCollection | None,
    background: Colour = BLACK,
) -> BaseServer:
    """A server, not started yet: each window of a browser has a `State` of its own."""
    for name in ("bokeh", "tornado"):
        logging.getLogger(name).setLevel(logging.ERROR)
    bokeh.settings.settings.log_level = "fatal"  # of the browser's console

    def modify(document: Document) -> None:
        add_page(document, State(model, collection), background, about(model, collection))

    port = listening.getsockname()[1]
    patterns = []
    if collection is not None:
        arguments = {"collection": collection}
        patterns.append((r"/thumbnails/([0-9]{1,9})", Thumbnail, arguments))
    application = BokehTornado(
        {"/": Application(FunctionHandler(modify))},
        extra_patterns=patterns,
        extra_websocket_origins=hosts(port),
        websocket_max_message_size_bytes=MAX_MESSAGE_BYTES,
    )
    server = httpserver.HTTPServer(LocalRouter(application, port))
    server.add_sockets([listening])
    return BaseServer(IOLoop.current(), application, server)


def about(model: InferenceModel, collection: EncodedCollection | None) -> str:
    """A line that says what the page is of."""
    described = model.description
    size = "x".join(map(str, model.image_shape))
    what = f"codes of {described.codebook_size}" if described.has_codes else "latents"
    parts = [f"{described.model}, {model.latent_size} {what}, images {size}"]
    parts.append(f"posterior {described.posterior}")
    if described.has_density:
        parts.append(f"prior {described.prior}")
    else:
        parts.append("no prior: an autoencoder without a density")
    parts.append(f"likelihood {described.likelihood}")
    if collection is None:
        parts.append("no images: samples only")
    else:
        parts.append(f"{len(collection.names):,} images")
    return " · ".join(parts)


def serve(server: BaseServer, ready: Callable[[], None]) -> NoReturn:
    """Serves until a signal comes.

    Args:
      server: from `make`.
      ready: is called once the server answers.

    Raises:
      Interrupted: SIGINT or SIGTERM.
    """
    ended: list[int] = []

    def end(number: int, _: Any) -> None:
        ended.append(number)
        server.io_loop.add_callback_from_signal(server.io_loop.stop)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.start()
        ready()
        server.io_loop.start()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        server.stop()
    raise Interrupted(ended[0], "stopped")
