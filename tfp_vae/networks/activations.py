"""Activations of hidden layers, each with the initializer that keeps a signal's size."""

# He et al. (2015) for rectifiers and their smooth forms, Glorot and Bengio (2010) for tanh.
ACTIVATIONS = {
    "relu": {"activation": "relu", "kernel_initializer": "he_normal"},
    "tanh": {"activation": "tanh", "kernel_initializer": "glorot_uniform"},
    "silu": {"activation": "silu", "kernel_initializer": "he_normal"},
    "gelu": {"activation": "gelu", "kernel_initializer": "he_normal"},
}
