"""The families that `training.benchmark` trains beside the plain VAE: what `Config` has for each.

Imports nothing: every program reads it.
"""

FAMILIES = {
    "": {},
    "full-covariance": {"posterior": "multivariate_normal_tril"},
    "prior-mixture": {"prior": "mixture", "prior_components": 500},
    "prior-vamp": {"prior": "vamp", "prior_components": 500},
    "prior-flow": {"prior": "flow"},
    "posterior-flow": {"posterior": "flow"},
    "iwae-5": {"objective": "iwae", "num_samples": 5},
    "iwae-50": {"objective": "iwae", "num_samples": 50},
    "dreg-5": {"objective": "dreg", "num_samples": 5},
    "hierarchical": {"model": "hierarchical"},
    "codes": {"model": "vq_vae", "codebook_size": 512, "code_size": 64},
}
