"""The programs that `training.benchmark` times: one file each, run as a script in a process of its
own, those of other libraries in an environment of their own, so they import nothing of this package
but `protocol` and `torch_networks`.
"""
