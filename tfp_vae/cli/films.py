"""The commands that move through latent space. TensorFlow is imported inside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.errors import InputError

if TYPE_CHECKING:
    import numpy as np

FILM = ("png", "gif", "npz")
FilmOut = Annotated[Path, Parameter(help="File to write: .png, .gif or .npz.")]
FilmFormat = Annotated[
    Literal["png", "gif", "npz"] | None,
    Parameter(name="--format", help="By default what OUT ends in."),
]


def interpolate(
    run: cli.Run,
    a: cli.OneImage,
    b: cli.OneImage,
    out: FilmOut,
    /,
    *,
    steps: Annotated[cli.Steps, Parameter(help="Number of images, both ends included.")] = 9,
    spherical: Annotated[
        bool, Parameter(help="Follow the arc between the latents, not the straight line.")
    ] = False,
    kind: FilmFormat = None,
    conversion: cli.ConversionFlags = cli.Conversion(),
) -> None:
    """Decode latents between those of two images; the ends are their reconstructions."""
    path, suffix = cli.output(out, FILM, kind, reads=(a, b))
    import tfp_vae
    from tfp_vae.cli import inputs

    model = tfp_vae.load(run)
    start, stop = (inputs.read_one(model, end, conversion).pixels[0:1] for end in (a, b))
    film = model.interpolate(start, stop, steps=steps, spherical=spherical)
    _write(path, suffix, film[None])


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
    level: Annotated[
        cli.Count | None,
        Parameter(help="Of a hierarchy: the latents of this level; 1 is next to the image."),
    ] = None,
    range_: Annotated[
        cli.Range,
        Parameter(name="--range", help="First and last value that the latent is set to."),
    ] = (-3.0, 3.0),
    steps: Annotated[cli.Steps, Parameter(help="Number of values of each latent.")] = 9,
    kind: FilmFormat = None,
    conversion: cli.ConversionFlags = cli.Conversion(),
) -> None:
    """Decode an image's latents while one of them moves: a row for each of the latents."""
    path, suffix = cli.output(out, FILM, kind, reads=(image,))
    import numpy as np

    import tfp_vae
    from tfp_vae.cli import inputs

    model = tfp_vae.load(run)
    model.require_vectors("traverse")
    if level is not None:
        dimension = _of_level(model.description.latent_levels, level, dimension)
    outside = [index for index in dimension if not 0 <= index < model.latent_size]
    if outside:
        raise InputError(f"--dimension {outside[0]}: expected 0 to {model.latent_size - 1}")
    pixels = inputs.read_one(model, image, conversion).pixels[0:1]
    values = np.linspace(*range_, steps).tolist()
    rows = [
        model.traverse(pixels, index, values) for index in dimension or range(model.latent_size)
    ]
    _write(path, suffix, np.stack(rows))


def arithmetic(
    run: cli.Run,
    image: cli.OneImage,
    out: FilmOut,
    /,
    *,
    with_: Annotated[
        cli.ImageFlags,
        Parameter(
            name="--with",
            help="Images that have something; may be given repeatedly.",
            show_default=False,
        ),
    ] = (),
    without: Annotated[
        cli.ImageFlags,
        Parameter(help="Images that do not have it; may be given repeatedly.", show_default=False),
    ] = (),
    with_label: Annotated[
        str | None, Parameter(help="In place of --with: the images of LABELLED with this label.")
    ] = None,
    without_label: Annotated[
        str | None, Parameter(help="In place of --without: those with this label.")
    ] = None,
    labelled: Annotated[
        cli.ImageFlags,
        Parameter(
            help="Folders, arrays or TFDS splits with labels; may be given repeatedly.",
            show_default=False,
        ),
    ] = (),
    strength: Annotated[
        cli.Numbers,
        Parameter(help="Multiples of the difference, an image each; 0: reconstruction."),
    ] = (-1.0, 0.0, 1.0, 2.0),
    kind: FilmFormat = None,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Decode an image's latents plus strength x (mean latents WITH - mean latents WITHOUT)."""
    path, suffix = cli.output(out, FILM, kind, reads=(image, *with_, *without, *labelled))
    if not strength:
        raise InputError("--strength: expected at least one number")
    groups = [("--with", with_, with_label), ("--without", without, without_label)]
    for flag, given, label in groups:
        if bool(given) == (label is not None):
            what = "both given" if given else "none given"
            raise InputError(f"{flag}, {flag}-label: {what}: expected one of them")
    if bool(labelled) == (with_label is None and without_label is None):
        raise InputError(
            "--labelled: expected with --with-label or --without-label, and only with them"
        )
    import tfp_vae
    from tfp_vae.cli import inputs

    model = tfp_vae.load(run)
    pixels = inputs.read_one(model, image, reading).pixels[0:1]
    source = inputs.read(model, labelled, reading, need_labels=True) if labelled else None
    present, absent = (
        inputs.read(model, given, reading).pixels
        if source is None or label is None
        else source.with_label(label)
        for _, given, label in groups
    )
    direction = model.latent_direction(present, absent)
    _write(path, suffix, model.apply_direction(pixels, direction, strength)[None])


def _of_level(levels: tuple[int, ...], level: int, dimension: tuple[int, ...]) -> tuple[int, ...]:
    """The latents of one level."""
    if dimension:
        raise InputError(f"--level {level}: expected --level or --dimension, not both")
    if not max(levels):
        raise InputError(f"--level {level}: only for a hierarchical model: expected --dimension")
    if level > max(levels):
        raise InputError(f"--level {level}: expected 1 to {max(levels)}, the top")
    return tuple(index for index, number in enumerate(levels) if number == level)


def _write(path: Path, kind: str, film: "np.ndarray") -> None:
    """Writes images [M, T, H, W, C], M rows that change along T."""
    from tfp_vae.cli import outputs

    if kind == "npz":
        outputs.write_arrays(path, image=film)
    else:
        outputs.write_film(path, kind, film)
    print(one_line(f"{film.shape[0]} x {film.shape[1]} images: {path}"))
