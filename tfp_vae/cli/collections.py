"""The commands that encode and search collections, fit a sampler to them, and describe a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from tfp_vae.cli import arguments as cli
from tfp_vae.cli.app import one_line
from tfp_vae.errors import InputError

if TYPE_CHECKING:
    from tfp_vae.saved_model.contract import Description

HELD_OUT_EVERY = 10  # every tenth image is held out, to measure how well a mixture predicts

search = cyclopts.App(name="search", help="Find the images of a collection most like another one.")


def encode(
    run: cli.Run,
    images: cli.Images,
    out: Annotated[Path, Parameter(help="File to write: .csv or .npz.")],
    /,
    *,
    resize: cli.Resize = False,
) -> None:
    """Write q(z|x) of each image: name, mean, stddev; of a Normal, a .npz gets scale_tril too."""
    out, kind = cli.output(out, ("csv", "npz"))
    import tfp_vae
    from tfp_vae.cli import outputs
    from tfp_vae.images import sources

    model = tfp_vae.load(run)
    pixels, names = sources.read(images, model.image_shape, resize=resize)
    posterior = model.posterior(pixels)
    if kind == "npz":
        found = {key: value for key, value in posterior._asdict().items() if value is not None}
        outputs.write_arrays(out, name=names, **found)
    else:
        outputs.write_table(out, names, mean=posterior.mean, stddev=posterior.stddev)
    print(f"{len(names)} images, {model.latent_size} latents: {out}")


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
            help="Distance of the means of q(z|x); or divergence of q(z|x), in nats, where "
            "it is a Normal."
        ),
    ] = "euclidean",
    resize: cli.Resize = False,
) -> None:
    """Write an index of the latents of a collection."""
    index, _ = cli.output(index, ("npz",))
    import tfp_vae
    from tfp_vae.images import sources
    from tfp_vae.latent_space.search import Index

    model = tfp_vae.load(run)
    if metric == "symmetric_kl" and not model.description.posterior_is_normal:
        kind = model.description.posterior
        raise InputError(f"--metric {metric}: {run} has a {kind} posterior: expected euclidean")
    pixels, names = sources.read(images, model.image_shape, resize=resize)
    if metric == "euclidean":
        built = Index(model.encode(pixels), names=names)
    else:
        posterior = model.posterior(pixels)
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
    count: Annotated[cli.Count, Parameter(help="Number of images to find, at most.")] = 10,
    resize: cli.Resize = False,
) -> None:
    """Print the distances and names of the images nearest to IMAGE, nearest first.

    To draw OUT, the images found are read again from the paths that the index holds.
    """
    if out is not None:
        out, _ = cli.output(out, ("png",))
    import numpy as np

    import tfp_vae
    from tfp_vae.cli import outputs
    from tfp_vae.images import sources
    from tfp_vae.inference.batches import floats
    from tfp_vae.latent_space.search import Index

    model = tfp_vae.load(run)
    found = Index.load(index, fingerprint=model.fingerprint)
    pixels = sources.read_one(image, model.image_shape, resize=resize)
    posterior = model.posterior(pixels)
    nearest = found.query(posterior.mean, scale_trils=posterior.scale_tril, count=count)
    names = found.names[nearest.item[0]]
    if out is not None:
        neighbors = [sources.read_one(name, model.image_shape, resize=True) for name in names]
        outputs.write_grid(out, np.concatenate([floats(shown) for shown in (pixels, *neighbors)]))
    for distance, name in zip(nearest.distance[0], names, strict=True):
        print(f"{distance:.4f}\t{one_line(name)}")


def mixture(
    run: cli.Run,
    images: cli.Images,
    file: Annotated[Path, Parameter(help="File to write: .npz.")],
    /,
    *,
    components: Annotated[cli.Count, Parameter(help="Number of Gaussians.")] = 10,
    seed: Annotated[cli.Seed, Parameter(help="Seed of the fit.")] = 0,
    resize: cli.Resize = False,
) -> None:
    """Fit a Gaussian mixture to latent means, for sample --sampler gaussian_mixture.

    Every tenth image is held out; the log-likelihoods of prior and mixture there are printed.
    """
    file, _ = cli.output(file, ("npz",))
    import numpy as np

    import tfp_vae
    from tfp_vae.images import sources
    from tfp_vae.latent_space import mixture as mixtures

    model = tfp_vae.load(run)
    pixels, names = sources.read(images, model.image_shape, resize=resize)
    latents = model.encode(pixels)
    held_out = np.arange(len(latents)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    if np.sum(~held_out) < max(components, 2) or not held_out.any():
        raise InputError(
            f"--components {components}: {len(names)} images: expected more images, "
            f"at least {HELD_OUT_EVERY} and 10 for every 9 components"
        )
    fitted = mixtures.fit(latents[~held_out], components=components, seed=seed)
    mixtures.save(fitted, file, fingerprint=model.fingerprint)
    found = mixtures.log_likelihoods(fitted, latents[held_out], model)
    prior = "" if found.prior is None else f"prior {found.prior:.3f}, "
    print(
        f"mean log-likelihood of {held_out.sum()} held-out latent means, nats: "
        f"{prior}mixture {found.mixture:.3f}\n{components} components: {file}"
    )


def info(run: cli.Run, /) -> None:
    """Print what a run is: its model, its settings, its test metrics and its signatures."""
    import tfp_vae
    from tfp_vae.saved_model.load import find, read_json

    model = tfp_vae.load(run)
    folder = find(run)
    settings, metrics = (read_json(folder, name) for name in ("config.json", "metrics.json"))
    print(f"{model.path}: images {model.image_shape}, {model.latent_size} latents")
    for title, values in (
        ("model", _described(model.description)),
        ("settings", settings),
        ("test metrics, in nats per image", metrics),
    ):
        if values:
            print(f"\n{title}")
        for name, value in values.items():
            print("  " + one_line(f"{name}: {value}"))
    print("\nsignatures")
    for name, signature in sorted(model.signatures.items()):
        inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
        print(f"  {name}({_written(inputs)}) -> {_written(outputs)}")


def _described(description: "Description") -> dict[str, Any]:
    """The lines of `info` that say which family of model a run is."""
    names = ("model", "posterior", "prior", "likelihood", "log_likelihood", "kl", "contract")
    return {name.replace("_", " "): getattr(description, name) for name in names}


def _written(tensors: dict[str, Any]) -> str:
    """For example: latent float32 [None, 16], seed int32 [2]."""
    parts = (f"{name} {spec.dtype.name} {spec.shape}" for name, spec in sorted(tensors.items()))
    return ", ".join(parts)
