"""Training, evaluating and benchmarking the models of `tfp_vae` from the command line."""
