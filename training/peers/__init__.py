"""The programs that `training.benchmark` times, each a script that runs in its own process.

The scripts of other libraries (JAX, PyTorch, Pythae) may run in an environment without this
package: of its modules they import only those in this folder that import nothing else of it, such
as `protocol` and `torch_networks`, as top-level modules.
"""
