"""Another name for `tfp_vae.callbacks`."""

from tfp_vae.callbacks import *  # noqa: F403
