"""`tfp-vae`: every command under one name, once the package is installed.

It is here, not in `tfp_vae`, because `tfp_vae` does not import `training`.
"""

from collections.abc import Sequence

import cyclopts
from cyclopts import Parameter

from tfp_vae import __version__
from tfp_vae.cli import commands
from tfp_vae.cli.app import run
from training.evaluate import evaluate
from training.fit import fit

NAME = "tfp-vae"

app = cyclopts.App(
    name=NAME,
    help="Train a variational autoencoder, evaluate it, and use it: RUN is a run, such as "
    "saved_models/digits, or one of its versions.",
    version=__version__,
    version_flags=("--version",),
    default_parameter=Parameter(negative=()),
)
app.command(fit)
app.command(evaluate)
app.update(commands.app)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in `argv`, or in the process's arguments; returns the exit code."""
    return run(app, NAME, argv)
