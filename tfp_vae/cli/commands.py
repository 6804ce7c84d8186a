"""`python -m tfp_vae`: every command, by name."""

from collections.abc import Sequence

import cyclopts
from cyclopts import Parameter

from tfp_vae.cli import collections, compression, explore, films, pictures
from tfp_vae.cli.app import run

NAME = "tfp_vae"

app = cyclopts.App(
    name=f"python -m {NAME}",
    help="Use a trained model: RUN is a run, such as saved_models/digits, or one of its versions.",
    version_flags=(),
    default_parameter=Parameter(negative=()),
)
for command in (
    pictures.sample,
    pictures.reconstruct,
    pictures.denoise,
    collections.encode,
    films.interpolate,
    films.traverse,
    films.arithmetic,
    collections.search,
    collections.mixture,
    compression.compress,
    compression.decompress,
    collections.info,
    explore.explore,
):
    app.command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in `argv`, or in the process's arguments; returns the exit code."""
    return run(app, NAME, argv)
