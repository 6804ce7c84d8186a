"""The commands of `python -m tfp_vae` that make images; TensorFlow is imported inside them."""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tfp_vae import cli
from tfp_vae.errors import InputError

FILM = ("png", "gif", "npz")
FilmOut = Annotated[Path, Parameter(help="File to write: .png, .gif or .npz.")]
GridOut = Annotated[Path, Parameter(help="File to write: .png or .npz.")]
FilmFormat = Annotated[
    Literal["png", "gif", "npz"] | None,
    Parameter(name="--format", help="By default what OUT ends in."),
]

app = cyclopts.App(
    name="python -m tfp_vae",
    help="Use a trained model: RUN is a run, such as saved_models/digits, or one of its versions.",
    version_flags=(),
    default_parameter=Parameter(negative=()),
)


def _write_film(path, kind, film):
    """Writes images [M, T, H, W, C], M rows that change along T."""
    from tfp_vae import outputs

    if kind == "npz":
        outputs.write_arrays(path, image=film)
    else:
        outputs.write_film(path, kind, film)
    print(f"{film.shape[0]} x {film.shape[1]} images: {path}")


@app.command
def sample(
    run: cli.Run,
    out: GridOut,
    /,
    *,
    n: Annotated[cli.Count, Parameter(help="How many.")] = 64,
    seed: Annotated[cli.Seed, Parameter(help="Decides the latents.")] = 0,
    sampler: Annotated[
        Literal["prior", "gaussian_mixture"], Parameter(help="Where the latents come from.")
    ] = "prior",
    mixture: Annotated[
        Path | None,
        Parameter(help="For gaussian_mixture: the file that the command mixture wrote."),
    ] = None,
):
    """Decode random latents into a picture, or into the arrays image and latent."""
    out, kind = cli.output(out, ("png", "npz"))
    if (sampler == "gaussian_mixture") != (mixture is not None):
        raise InputError(
            f"--sampler {sampler} --mixture {mixture}: expected gaussian_mixture "
            "with a file, or prior without"
        )
    model = cli.load(run)
    from tfp_vae import outputs

    if mixture is None:
        drawn = model.prior_sample(n, seed=seed)
        images, latents = drawn.image, drawn.latent
    else:
        from tfp_vae import sampler as mixtures

        fitted = mixtures.load(mixture, fingerprint=model.fingerprint)
        latents = mixtures.sample(fitted, n, seed=seed)
        images = model.decode(latents)
    if kind == "npz":
        outputs.write_arrays(out, image=images, latent=latents)
    else:
        outputs.write_grid(out, images)
    print(f"{n} images: {out}")


@app.command
def reconstruct(run: cli.Run, images: cli.Images, out: GridOut, /, *, resize: cli.Resize = False):
    """Draw images with their reconstructions below, or write the arrays image, reconstruction."""
    out, kind = cli.output(out, ("png", "npz"))
    model = cli.load(run)
    from tfp_vae import image_sources, outputs
    from tfp_vae.batches import floats

    pixels, names = image_sources.read(images, model.image_shape, resize=resize)
    reconstructions = model.reconstruct(pixels)
    originals = floats(pixels[:]).numpy()
    if kind == "npz":
        outputs.write_arrays(out, name=names, image=originals, reconstruction=reconstructions)
    else:
        outputs.write_pairs(out, originals, reconstructions)
    print(f"{len(names)} images: {out}")


@app.command
def encode(
    run: cli.Run,
    images: cli.Images,
    out: Annotated[Path, Parameter(help="File to write: .csv or .npz.")],
    /,
    *,
    resize: cli.Resize = False,
):
    """Write q(z|x) of each image: name, mean, stddev, and in a .npz the factor scale_tril too."""
    out, kind = cli.output(out, ("csv", "npz"))
    model = cli.load(run)
    from tfp_vae import image_sources, outputs

    pixels, names = image_sources.read(images, model.image_shape, resize=resize)
    posterior = model.posterior(pixels)
    if kind == "npz":
        outputs.write_arrays(out, name=names, **posterior._asdict())
    else:
        outputs.write_table(out, names, mean=posterior.mean, stddev=posterior.stddev)
    print(f"{len(names)} images, {model.latent_size} latents: {out}")


@app.command
def interpolate(
    run: cli.Run,
    a: cli.OneImage,
    b: cli.OneImage,
    out: FilmOut,
    /,
    *,
    steps: Annotated[cli.Steps, Parameter(help="How many images, the ends among them.")] = 9,
    spherical: Annotated[
        bool, Parameter(help="Follow the arc between the latents, not the straight line.")
    ] = False,
    kind: FilmFormat = None,
    resize: cli.Resize = False,
):
    """Decode latents between those of two images; the ends are their reconstructions."""
    out, kind = cli.output(out, FILM, kind)
    model = cli.load(run)
    from tfp_vae import image_sources

    ends = [image_sources.read_one(end, model.image_shape, resize=resize) for end in (a, b)]
    film = model.interpolate(*ends, steps=steps, spherical=spherical)
    _write_film(out, kind, film[None])


@app.command
def traverse(
    run: cli.Run,
    image: cli.OneImage,
    out: FilmOut,
    /,
    *,
    dimension: Annotated[
        cli.Integers,
        Parameter(help="Which latents, from 0; by default all.", show_default=False),
    ] = (),
    range_: Annotated[
        cli.Range,
        Parameter(
            name="--range", help="First and last value, in standard deviations of the prior."
        ),
    ] = (-3.0, 3.0),
    steps: Annotated[cli.Steps, Parameter(help="Values of each latent.")] = 9,
    kind: FilmFormat = None,
    resize: cli.Resize = False,
):
    """Decode an image's latents while one of them moves: a row for each of the latents."""
    out, kind = cli.output(out, FILM, kind)
    model = cli.load(run)
    import numpy as np

    from tfp_vae import image_sources

    outside = [index for index in dimension if not 0 <= index < model.latent_size]
    if outside:
        raise InputError(f"--dimension {outside[0]}: expected 0 to {model.latent_size - 1}")
    pixels = image_sources.read_one(image, model.image_shape, resize=resize)
    values = np.linspace(*range_, steps)
    rows = [
        model.traverse(pixels, index, values) for index in dimension or range(model.latent_size)
    ]
    _write_film(out, kind, np.stack(rows))


@app.command
def arithmetic(
    run: cli.Run,
    image: cli.OneImage,
    out: FilmOut,
    /,
    *,
    with_: Annotated[
        cli.ImageFlags,
        Parameter(name="--with", help="Images that have something; may be given repeatedly."),
    ],
    without: Annotated[
        cli.ImageFlags,
        Parameter(help="Images that do not have it; may be given repeatedly."),
    ],
    strength: Annotated[
        cli.Numbers, Parameter(help="How far to go, an image for each; 0 is the reconstruction.")
    ] = (-1.0, 0.0, 1.0, 2.0),
    kind: FilmFormat = None,
    resize: cli.Resize = False,
):
    """Decode an image's latents plus strength x (mean latents WITH - mean latents WITHOUT)."""
    out, kind = cli.output(out, FILM, kind)
    if not strength:
        raise InputError("--strength: expected at least one number")
    model = cli.load(run)
    from tfp_vae import image_sources

    pixels = image_sources.read_one(image, model.image_shape, resize=resize)
    present, absent = (
        image_sources.read(sources, model.image_shape, resize=resize)
        for sources in (with_, without)
    )
    direction = model.latent_direction(present.pixels, absent.pixels)
    _write_film(out, kind, model.apply_direction(pixels, direction, strength)[None])
