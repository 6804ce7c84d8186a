"""A page on which a person moves about in a latent space. Needs the extra `explore`."""
