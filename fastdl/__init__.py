"""fastdl: a lightweight deep-learning framework for CPUs.

cli, study, recipes -> models, train, io, metrics -> nn, optim, data -> operators, ops -> autograd
                                                                        ops -> kernels -> _native -> csrc
"""

__version__ = "0.1.0"
