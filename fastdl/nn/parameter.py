"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

import numpy as np

from fastdl.autograd import Tensor


def _array(data):
    return data.array if isinstance(data, Tensor) else np.asarray(data)


class Parameter(Tensor):
    """A tensor that is trained: assigned to a Module, it shows up in parameters() and state_dict().

    Parameter(array_or_tensor) shares its memory; integers cannot be trained and need requires_grad=False.
    """

    __slots__ = ()

    def __init__(self, data=None, requires_grad=True):
        Tensor.__init__(self, np.empty(0, np.float32) if data is None else _array(data))
        self.requires_grad = requires_grad


class Buffer(Tensor):
    """A tensor that belongs to the state of a Module but is not trained (running means, masks)."""

    def __init__(self, data=None, *, persistent=True):
        Tensor.__init__(self, np.empty(0, np.float32) if data is None else _array(data))
        self.persistent = persistent
