"""A folder as a user of the commands has it: runs, arrays and image files."""

import numpy as np
from PIL import Image

import tfp_vae
from helpers.models import small_vae


def make(place, images, **options):
    """Fills `place`.

    Args:
      place: an empty folder. It gets `run` and, of a deterministic posterior, `plain`;
        `images.npy`; `classes`, the first ten images as files in sub-folders that are labels;
      and the first three images as `files.npy` of uint8 and as files in `photos`.
      images: float32 [N, 8, 9, 1].
      **options: of the model in `run`, as `build_vae` takes them.
    """
    vae = small_vae(**options)
    vae.fit(images, epochs=3, verbose=0)
    tfp_vae.export(vae, place / "run" / "1")
    tfp_vae.export(small_vae(posterior="deterministic"), place / "plain" / "1")
    np.save(place / "images.npy", images)
    files = np.rint(255 * images[:3]).astype(np.uint8)
    np.save(place / "files.npy", files)
    (place / "photos").mkdir()
    for index, image in enumerate(np.rint(255 * images[:10]).astype(np.uint8)):
        folder = place / "classes" / ("smiling" if index % 3 else "not_smiling")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    for index, image in enumerate(files):
        Image.fromarray(image[..., 0]).save(place / "photos" / f"{index}.png")
