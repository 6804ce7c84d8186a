"""The commands of `python -m tfp_vae`."""
