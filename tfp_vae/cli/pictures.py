"""The commands that draw samples and reconstructions. TensorFlow is imported inside them."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.errors import InputError

GridOut = Annotated[Path, Parameter(help="File to write: .png or .npz.")]


def sample(
    run: cli.Run,
    out: GridOut,
    /,
    *,
    n: Annotated[cli.Count, Parameter(help="Number of images.")] = 64,
    seed: Annotated[cli.Seed, Parameter(help="Seed of the latents.")] = 0,
    sampler: Annotated[
        Literal["prior", "gaussian_mixture"], Parameter(help="Where the latents come from.")
    ] = "prior",
    mixture: Annotated[
        Path | None,
        Parameter(help="For gaussian_mixture: the file that the command mixture wrote."),
    ] = None,
) -> None:
    """Decode random latents into a picture, or into the arrays image and latent."""
    out, kind = cli.output(out, ("png", "npz"), reads=() if mixture is None else (mixture,))
    if (sampler == "gaussian_mixture") != (mixture is not None):
        raise InputError(
            f"--sampler {sampler} --mixture {mixture}: expected gaussian_mixture "
            "with a file, or prior without"
        )
    import tfp_vae
    from tfp_vae.cli import outputs

    model = tfp_vae.load(run)
    if mixture is None:
        drawn = model.prior_sample(n, seed=seed)
        images, latents = drawn.image, drawn.latent
    else:
        from tfp_vae.latent_space import mixture as mixtures

        fitted = mixtures.load(mixture, fingerprint=model.fingerprint)
        latents = mixtures.sample(fitted, n, seed=seed)
        images = model.decode(latents)
    if kind == "npz":
        outputs.write_arrays(out, image=images, latent=latents)
    else:
        outputs.write_grid(out, images)
    print(one_line(f"{n} images: {out}"))


def reconstruct(
    run: cli.Run,
    images: cli.Images,
    out: GridOut,
    /,
    *,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Draw images with their reconstructions below, or write the arrays image, reconstruction."""
    out, kind = cli.output(out, ("png", "npz"), reads=images)
    if kind == "png" and out.exists():
        _check_no_photo(out, images)
    import tfp_vae
    from tfp_vae.cli import inputs, outputs
    from tfp_vae.inference.batches import floats

    model = tfp_vae.load(run)
    found = inputs.read(model, images, reading)
    pixels, names = found.pixels, found.names
    reconstructions = model.reconstruct(pixels)
    originals = floats(pixels[:]).numpy()
    if kind == "npz":
        outputs.write_arrays(out, name=names, image=originals, reconstruction=reconstructions)
    else:
        outputs.write_pairs(out, originals, reconstructions)
    print(one_line(f"{len(names)} images: {out}"))


def _check_no_photo(out: Path, images: list[str]) -> None:
    """Checks that an image beside those that are read is not overwritten.

    The shell makes `RUN *.png` without a file to write `RUN a.png b.png`, and b.png the file.

    Raises:
      InputError: `out` is an image in the folder of an image file that is read, and no grid.
    """
    from tfp_vae.errors import ImageError
    from tfp_vae.images.files import SUFFIXES, read_file
    from tfp_vae.images.grids import is_grid

    files = [Path(each) for each in images if each.lower().endswith(SUFFIXES)]
    if all(each.resolve().parent != out.resolve().parent for each in files):
        return
    try:
        photo = not is_grid(read_file(out, 1))
    except ImageError:  # no image that could be lost
        return
    if photo:
        raise InputError(f"{out}: an image beside those to read: expected another file to write")


def denoise(
    run: cli.Run,
    image: cli.OneImage,
    out: Annotated[Path, Parameter(help="File to write: .png.")],
    /,
    *,
    conversion: cli.ConversionFlags = cli.Conversion(),
) -> None:
    """Write the reconstruction of one image, in the size of the model's images.

    A run that was trained with --corruption removes noise of that kind.
    """
    out, _ = cli.output(out, ("png",), reads=(image,))
    import tfp_vae
    from tfp_vae.cli import inputs, outputs

    model = tfp_vae.load(run)
    noisy = inputs.read_one(model, image, conversion)
    outputs.write_image(out, model.reconstruct(noisy.pixels)[0])
    print(one_line(f"{noisy.names[0]}: {out}"))
