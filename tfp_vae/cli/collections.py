"""The commands that encode and search collections, and fit a sampler to them."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import flag, one_line, with_name
from tfp_vae.errors import InputError

HELD_OUT_EVERY = 10  # every tenth image is held out, to measure how well a mixture predicts

search = cyclopts.App(name="search", help="Find the images of a collection most like another one.")


def encode(
    run: cli.Run,
    images: cli.Images,
    out: Annotated[Path, Parameter(help="File to write: .csv or .npz.")],
    /,
    *,
    projector: Annotated[
        Path | None,
        Parameter(
            help="Also write the files of TensorBoard's projector into this log folder: latent "
            "means, of codes their vectors, with names, labels and thumbnails."
        ),
    ] = None,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Write q(z|x) of each image: name, label where there is one, mean, stddev; or its code.

    Of a Normal, a .npz gets scale_tril too. See the files of --projector LOGDIR with `tensorboard
    --logdir LOGDIR`.
    """
    out, kind = cli.output(out, ("csv", "npz"), reads=images)
    if projector is not None:
        from tfp_vae.cli import projector as files

        cli.check_folder(projector)
        if projector.is_dir():
            cli.output(projector / files.SPRITE, ("png",), reads=images)
    import tfp_vae
    from tfp_vae.cli import inputs, outputs

    model = tfp_vae.load(run)
    found = inputs.read(model, images, reading)
    if model.description.has_codes:
        arrays = {"code": model.encode(found.pixels)}
    else:
        posterior = model.posterior(found.pixels)._asdict()
        arrays = {key: value for key, value in posterior.items() if value is not None}
    texts = {"name": found.names}
    if found.labels is not None:
        texts["label"] = found.labels
    if kind == "npz":
        outputs.write_arrays(out, **texts, **arrays)
    else:
        arrays.pop("scale_tril", None)
        outputs.write_table(out, texts, **arrays)
    print(one_line(f"{len(found.names)} images, {model.latent_size} latents: {out}"))
    if projector is not None:
        latents = arrays["code" if model.description.has_codes else "mean"]
        files.write(projector, model.vectors(latents), texts, found.pixels)
        print(one_line(f"to see them: tensorboard --logdir {projector}"))


@search.command
def build(
    run: cli.Run,
    images: cli.Images,
    index: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    metric: Annotated[
        Literal["euclidean", "symmetric_kl"],
        Parameter(
            help="Distance of the means of q(z|x), of codes that of their vectors; or divergence "
            "of q(z|x), in nats, where it is a Normal."
        ),
    ] = "euclidean",
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Write an index of the latents of a collection."""
    index, _ = cli.output(index, ("npz",), reads=images)
    import tfp_vae
    from tfp_vae.cli import inputs
    from tfp_vae.latent_space.search import Index

    model = tfp_vae.load(run)
    if metric == "symmetric_kl" and not model.description.posterior_is_normal:
        kind = model.description.posterior
        raise InputError(f"--metric {metric}: {run} has a {kind} posterior: expected euclidean")
    found = inputs.read(model, images, reading)
    names, labels = found.names, found.labels
    if metric == "euclidean":
        points = model.vectors(model.encode(found.pixels))
        built = Index(points, names=names, labels=labels)
    else:
        posterior = model.posterior(found.pixels)
        scales = posterior.scale_tril
        built = Index(posterior.mean, names=names, scale_trils=scales, labels=labels)
    built.save(index, fingerprint=model.fingerprint)
    print(one_line(f"{len(found.names)} images: {index}"))


@search.command
def query(
    run: cli.Run,
    index: Annotated[Path, Parameter(help="File that search build wrote.")],
    image: cli.OneImage,
    out: Annotated[
        Path | None, Parameter(help="Picture to write, .png: IMAGE, then what was found.")
    ] = None,
    /,
    *,
    count: Annotated[cli.Count, Parameter(help="Number of images to find, at most.")] = 10,
    conversion: cli.ConversionFlags = cli.Conversion(),
) -> None:
    """Print the distances and names of the images nearest to IMAGE, nearest first.

    Where the index and IMAGE have labels, a last line counts those that have the label of IMAGE.
    To draw OUT, the images found are read again from the paths that the index holds.
    """
    if out is not None:
        out, _ = cli.output(out, ("png",), reads=(index, image))
    import numpy as np

    import tfp_vae
    from tfp_vae.cli import inputs, outputs
    from tfp_vae.inference.batches import floats
    from tfp_vae.latent_space.search import Index

    model = tfp_vae.load(run)
    found = Index.load(index, fingerprint=model.fingerprint)
    given = inputs.read_one(model, image, conversion)
    pixels = given.pixels[0:1]
    if found.scale_trils is None:
        nearest = found.query(model.vectors(model.encode(pixels)), count=count)
    else:
        posterior = model.posterior(pixels)
        nearest = found.query(posterior.mean, scale_trils=posterior.scale_tril, count=count)
    names = found.names[nearest.item[0]]
    if out is not None:
        shown = dataclasses.replace(conversion, resize=True)
        neighbors = [inputs.read_one(model, name, shown).pixels[0:1] for name in names]
        outputs.write_grid(out, np.concatenate([floats(each) for each in (pixels, *neighbors)]))
    for distance, name in zip(nearest.distance[0], names, strict=True):
        print(f"{distance:.4f}\t{one_line(name)}")
    if found.labels is None:
        return
    label = inputs.label_of(image, given, found.labels.tolist())
    if label is not None:
        same = int(np.sum(found.labels[nearest.item[0]] == label))
        print(f"{same} of {len(names)} have the label of the query, {one_line(label)}")


def mixture(
    run: cli.Run,
    images: cli.Images,
    file: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    components: Annotated[cli.Count, Parameter(help="Number of Gaussians.")] = 10,
    seed: Annotated[cli.Seed, Parameter(help="Seed of the fit.")] = 0,
    reading: cli.ReadingFlags = cli.Reading(),
) -> None:
    """Fit a Gaussian mixture to latent means, for sample --sampler gaussian_mixture.

    Every tenth image is held out; the log-likelihoods of prior and mixture there are printed.
    """
    file, _ = cli.output(file, ("npz",), reads=images)
    import numpy as np

    import tfp_vae
    from tfp_vae.cli import inputs
    from tfp_vae.latent_space import mixture as mixtures

    model = tfp_vae.load(run)
    model.require_vectors("mixture")
    latents = model.encode(inputs.read(model, images, reading).pixels)
    held_out = np.arange(len(latents)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    if np.sum(~held_out) < max(components, 2) or not held_out.any():
        raise InputError(
            f"--components {components}: {len(latents)} images: expected more images, "
            f"at least {HELD_OUT_EVERY} and 10 for every 9 components"
        )
    try:
        fitted = mixtures.fit(latents[~held_out], components=components, seed=seed)
    except InputError as error:
        raise InputError(with_name(str(error), flag)) from error
    mixtures.save(fitted, file, fingerprint=model.fingerprint)
    found = mixtures.log_likelihoods(fitted, latents[held_out], model)
    prior = "" if found.prior is None else f"prior {found.prior:.3f}, "
    print(
        f"mean log-likelihood of {held_out.sum()} held-out latent means, nats: "
        f"{prior}mixture {found.mixture:.3f}"
    )
    print(one_line(f"{components} components: {file}"))
