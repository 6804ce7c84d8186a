"""The explorer's server in a thread of this process."""

import asyncio
import contextlib
import threading

import numpy as np

import tfp_vae
from helpers.models import small_vae
from tfp_vae.images import digits
from tfp_vae.images.sources import Collection


def sources(images, labels=None):
    """Images [N, H, W, C] as a command reads them."""
    return Collection(images, [f"image {row}" for row in range(len(images))], labels)


def digits_model(count=400, **options):
    """A model of digits after a few epochs, and `count` digits with their labels."""
    pixels, classes = digits.load()
    images, labels = pixels[:count], [str(each) for each in classes[:count]]
    vae = small_vae((8, 8, 1), **options)
    vae.fit(images.astype(np.float32) / 255, epochs=5, verbose=0)
    return tfp_vae.inference_model(vae), sources(images, labels)


@contextlib.contextmanager
def serving(model, collection):
    """The port of a server of the page."""
    from tfp_vae.explorer import server

    listening = server.bind(0)
    ready, ended = threading.Event(), []

    async def serve():
        stop = asyncio.Event()
        ended.extend([asyncio.get_running_loop(), stop])
        made = server.make(listening, model, collection)
        made.start()
        ready.set()
        await stop.wait()
        made.stop()
        await made._http.close_all_connections()
        listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield listening.getsockname()[1]
    finally:
        loop, stop = ended
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
