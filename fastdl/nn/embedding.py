"""Vectors looked up by index."""

import numpy as np

from fastdl.autograd import Tensor, wrote
from fastdl.nn import functional as F
from fastdl.nn import init
from fastdl.nn.module import Module
from fastdl.nn.parameter import Parameter


class Embedding(Module):
    """Row i of the weight for every index i (of any integer dtype).

    Shapes      indices (...) -> (..., embedding_dim)
    Parameters  weight (num_embeddings, embedding_dim), starts standard normal; row padding_idx
                is 0 and gets no gradient
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, _weight=None, dtype=None):
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"Embedding: padding_idx={padding_idx} must be a row of {num_embeddings}")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        if _weight is None:
            self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype or np.float32))
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight)

    @classmethod
    def from_pretrained(cls, embeddings, freeze=True, padding_idx=None):
        """A layer over given vectors (num_embeddings, embedding_dim), which are not trained if `freeze`."""
        embeddings = embeddings if isinstance(embeddings, Tensor) else Tensor(np.asarray(embeddings))
        layer = cls(*embeddings.shape, padding_idx=padding_idx, _weight=embeddings)
        layer.weight.requires_grad = not freeze
        return layer

    def reset_parameters(self):
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.array[self.padding_idx] = 0
            wrote(self.weight, "reset_parameters")

    def forward(self, indices):
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self):
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
