"""The quantisers by name."""

from tfp_vae.layers.finite_scalar import FiniteScalarQuantizer
from tfp_vae.layers.vector_quantizer import VectorQuantizer

QUANTIZERS = {"vector": VectorQuantizer, "finite_scalar": FiniteScalarQuantizer}
