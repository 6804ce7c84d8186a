"""The latent space in NumPy: paths between latents, search by encoding, and fitted mixtures."""
