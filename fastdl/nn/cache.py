"""Keys and values of tokens that were already read, so that decoding pays for new tokens only."""

import numpy as np

from fastdl.autograd import Tensor


class KVCache:
    """Keys and values (N, heads, S, d) of one attention layer; grows by doubling, or lies ready for `capacity` tokens.

    Parameters  static: keys and values are computed from the first call's key and value and stay (encoder-decoder attention)
    Attributes  length: tokens held; written: how many times keys and values were computed

    For inference: what is stored is outside the graph, so gradients do not flow into it.
    """

    def __init__(self, capacity: int = 0, static: bool = False):
        self.capacity, self.static = capacity, static
        self.length = self.written = 0
        self._k = self._v = None

    def append(self, k, v):
        """Add k, v (N, heads, T, d); returns all so far, each (N, heads, length, d)."""
        if k.requires_grad or v.requires_grad:
            raise RuntimeError("KVCache: the cache is for inference; call the model under fastdl.no_grad()")
        end = self.length + k.shape[2]
        if self._k is None:
            self._k, self._v = self._room(k, end), self._room(v, end)
        if k.shape[0] != self._k.shape[0]:
            raise ValueError(f"KVCache: holds {self._k.shape[0]} sequences; got keys of {k.shape[0]}")
        if end > self._k.shape[2]:
            self._k, self._v = self._moved(self._k, end), self._moved(self._v, end)
        self._k[:, :, self.length : end] = k.array
        self._v[:, :, self.length : end] = v.array
        self.length = end
        self.written += 1
        return self.get()

    def get(self):
        """Keys and values held, each (N, heads, length, d)."""
        return Tensor(self._k[:, :, : self.length]), Tensor(self._v[:, :, : self.length])

    def reorder(self, rows):
        """Keep sequence rows[i] as sequence i: beams that survive, or one sequence repeated."""
        if self._k is not None:
            self._k, self._v = self._k[rows], self._v[rows]

    def _room(self, x, needed):
        N, heads, _, d = x.shape
        return np.empty((N, heads, max(self.capacity, needed, 16), d), x.dtype)

    def _moved(self, x, needed):
        room = np.empty((*x.shape[:2], max(needed, 2 * x.shape[2]), x.shape[3]), x.dtype)
        room[:, :, : self.length] = x[:, :, : self.length]
        return room
