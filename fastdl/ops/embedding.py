"""Embedding: rows of a table by number."""

import numpy as np

from fastdl.autograd import Function, Tensor
from fastdl.kernels.embedding import embedding_backward_w, embedding_forward


class Embedding(Function):
    """weight[index], weight (V, D); skip: rows of padding_idx are zero, as they are in the gradient."""

    @staticmethod
    def forward(ctx, weight, index, padding_idx, skip):
        ctx.parameters = index, weight.array.shape[0], padding_idx
        y = embedding_forward(index, weight.array)
        if skip and padding_idx is not None:
            y[index == padding_idx] = 0
        return Tensor(y)

    @staticmethod
    def backward(ctx, dy):
        return EmbeddingGradient.apply(dy, *ctx.parameters), None, None, None


class EmbeddingGradient(Function):
    """(V, D): the sum of the rows of dy for every number; its own gradient picks those rows again."""

    @staticmethod
    def forward(ctx, dy, index, V, padding_idx):
        ctx.parameters = index, padding_idx
        return Tensor(embedding_backward_w(dy.array, index, V, padding_idx))

    @staticmethod
    def backward(ctx, ddw):
        return Embedding.apply(ddw, *ctx.parameters, True), None, None, None


def embedding(input, weight, padding_idx=None):
    """Rows of weight (V, D) for the numbers of input (any shape and integer dtype): (*input.shape, D).

    The row padding_idx is read like any other but gets no gradient.
    """
    V = weight.array.shape[0]
    if padding_idx is not None:
        if not -V <= padding_idx < V:
            raise ValueError(f"embedding: padding_idx={padding_idx} must be a row of the {V} of weight")
        padding_idx %= V
    index = input.array if isinstance(input, Tensor) else np.asarray(input)
    return Embedding.apply(weight, index, padding_idx, False)
