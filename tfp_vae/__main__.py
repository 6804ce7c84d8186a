"""`python -m tfp_vae COMMAND RUN ...`: using a trained model."""

import sys

from tfp_vae.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
