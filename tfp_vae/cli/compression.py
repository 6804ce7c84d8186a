"""The commands that keep images as codes. TensorFlow is imported inside them."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.cli.pictures import GridOut
from tfp_vae.errors import InputError

if TYPE_CHECKING:
    from tfp_vae.inference.model import InferenceModel


def compress(
    run: cli.Run,
    images: cli.Images,
    out: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Write the codes of images, packed in their bits, for a model whose latents are codes.

    Prints bits per pixel, the bits per pixel that the prior would need (by arithmetic coding, which
    is not done), and the PSNR of what decompress makes of the file.
    """
    out, _ = cli.output(out, ("npz",), reads=images)
    import numpy as np

    from tfp_vae.cli import inputs
    from tfp_vae.inference.batches import floats
    from tfp_vae.latent_space import packing

    model, size = _of_codes(run, "compress")
    found = inputs.read(model, images, reading)
    codes = model.encode(found.pixels)
    packing.save(out, codes, size, names=found.names, fingerprint=model.fingerprint)
    pixels = math.prod(model.image_shape[:2])
    width = packing.bits(size)
    of_prior = -model.log_prior(codes).mean() / math.log(2.0)
    error = np.mean((model.decode(codes) - floats(found.pixels[:]).numpy()) ** 2)
    psnr = math.inf if error == 0 else -10.0 * math.log10(error)
    line = (
        f"{len(codes)} images, {model.latent_size} codes of {width} bits each: "
        f"{model.latent_size * width / pixels:.4f} bits per pixel "
        f"({of_prior / pixels:.4f} under the prior), PSNR {psnr:.2f} dB: {out}"
    )
    print(one_line(line))


def decompress(
    run: cli.Run,
    file: Annotated[Path, Parameter(help="File that compress wrote.")],
    out: GridOut,
    /,
) -> None:
    """Draw the images of a file that compress wrote, or write the arrays name and image."""
    out, kind = cli.output(out, ("png", "npz"), reads=(file,))
    from tfp_vae.cli import outputs
    from tfp_vae.latent_space import packing

    model, size = _of_codes(run, "decompress")
    found = packing.load(file, model.latent_size, size, fingerprint=model.fingerprint)
    images = model.decode(found.codes)
    if kind == "npz":
        outputs.write_arrays(out, name=found.names, image=images)
    else:
        outputs.write_grid(out, images)
    print(one_line(f"{len(images)} images: {out}"))


def _of_codes(run: Path, command: str) -> "tuple[InferenceModel, int]":
    """The model of a run, whose latents are codes, and the size of its codebooks.

    Raises:
      InputError: another model.
    """
    import tfp_vae

    model = tfp_vae.load(run)
    size = model.description.codebook_size
    if size is None:
        name = model.description.model
        raise InputError(f"{command}: {run} is a {name}: expected a vq_vae or a vq_vae_2")
    return model, size
