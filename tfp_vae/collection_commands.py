"""The commands that say what a run is, search collections, and fit a sampler to them."""

from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tfp_vae import cli
from tfp_vae.commands import app
from tfp_vae.errors import InputError

HELD_OUT = 10  # every tenth image tells how well a mixture predicts

search = cyclopts.App(name="search", help="Find the images of a collection most like another one.")
app.command(search)


@search.command
def build(
    run: cli.Run,
    images: cli.Images,
    index: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    metric: Annotated[
        Literal["euclidean", "symmetric_kl"],
        Parameter(help="Distance of the means of q(z|x), or divergence of q(z|x) in nats."),
    ] = "euclidean",
    resize: cli.Resize = False,
):
    """Write an index of the latents of a collection."""
    index, _ = cli.output(index, ("npz",))
    model = cli.load(run)
    from tfp_vae import image_sources
    from tfp_vae.search import Index

    pixels, names = image_sources.read(images, model.image_shape, resize=resize)
    if metric == "euclidean":
        built = Index(model.encode(pixels), names=names)
    else:
        posterior = model.posterior(pixels)
        if not posterior.stddev.all():
            raise InputError(f"--metric {metric}: {run} has a deterministic posterior: euclidean")
        built = Index(posterior.mean, names=names, scale_trils=posterior.scale_tril)
    built.save(index, fingerprint=model.fingerprint)
    print(f"{len(names)} images: {index}")


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
    count: Annotated[cli.Count, Parameter(help="How many; all, where the index has fewer.")] = 10,
    resize: cli.Resize = False,
):
    """Print the distances and names of the images nearest to IMAGE, nearest first.

    The picture reads the images again, from where they were when the index was built.
    """
    if out is not None:
        out, _ = cli.output(out, ("png",))
    model = cli.load(run)
    import numpy as np

    from tfp_vae import image_sources, outputs
    from tfp_vae.batches import floats
    from tfp_vae.search import Index

    found = Index.load(index, fingerprint=model.fingerprint)
    pixels = image_sources.read_one(image, model.image_shape, resize=resize)
    posterior = model.posterior(pixels)
    nearest = found.query(posterior.mean, scale_trils=posterior.scale_tril, count=count)
    names = found.names[nearest.item[0]]
    if out is not None:
        neighbors = [image_sources.read_one(name, model.image_shape, resize=True) for name in names]
        outputs.write_grid(out, np.concatenate([floats(shown) for shown in (pixels, *neighbors)]))
    for distance, name in zip(nearest.distance[0], names, strict=True):
        print(f"{distance:.4f}\t{name}")


@app.command
def mixture(
    run: cli.Run,
    images: cli.Images,
    file: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    components: Annotated[cli.Count, Parameter(help="Of the mixture.")] = 10,
    seed: Annotated[cli.Seed, Parameter(help="Starts the fit.")] = 0,
    resize: cli.Resize = False,
):
    """Fit a Gaussian mixture to latent means, for sample --sampler gaussian_mixture.

    Every tenth image is left out of the fit, and tells how well prior and mixture predict it.
    """
    file, _ = cli.output(file, ("npz",))
    model = cli.load(run)
    import numpy as np

    from tfp_vae import image_sources, sampler

    pixels, names = image_sources.read(images, model.image_shape, resize=resize)
    latents = model.encode(pixels)
    held_out = np.arange(len(latents)) % HELD_OUT == HELD_OUT - 1
    if np.sum(~held_out) < max(components, 2) or not held_out.any():
        raise InputError(
            f"--components {components}: {len(names)} images: expected more images, "
            f"at least {HELD_OUT} and 10 for every 9 components"
        )
    fitted = sampler.fit(latents[~held_out], components=components, seed=seed)
    sampler.save(fitted, file, fingerprint=model.fingerprint)
    prior, of_mixture = sampler.log_likelihoods(fitted, latents[held_out])
    print(
        f"mean log-likelihood of {held_out.sum()} held-out latent means, nats: "
        f"prior {prior:.3f}, mixture {of_mixture:.3f}\n{components} components: {file}"
    )


@app.command
def info(run: cli.Run, /):
    """Print what a run is: its settings, its test metrics and its signatures."""
    model = cli.load(run)
    from tfp_vae.saved_run import read_json

    settings, metrics = (read_json(model.path, name) for name in ("config.json", "metrics.json"))
    print(f"{model.path}: images {model.image_shape}, {model.latent_size} latents")
    for title, values in (("settings", settings), ("test metrics, in nats per image", metrics)):
        if values:
            print(f"\n{title}")
        for name, value in values.items():
            print(f"  {name}: {value}")
    print("\nsignatures")
    for name, signature in sorted(model.signatures.items()):
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
        print(f"  {name}({_written(inputs)}) -> {_written(outputs)}")


def _written(tensors):
    """For example: latent float32 [None, 16], seed int32 [2]."""
    parts = (f"{name} {spec.dtype.name} {spec.shape}" for name, spec in sorted(tensors.items()))
    return ", ".join(parts)
