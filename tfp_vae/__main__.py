"""`python -m tfp_vae COMMAND RUN ...`: using a trained model."""

import sys

from tfp_vae import cli, collection_commands


def main(argv=None):
    """Runs the command in `argv`, or in the process's arguments, and returns its exit code."""
    return cli.run(collection_commands.app, argv)


if __name__ == "__main__":
    sys.exit(main())
