"""Embedding in plain loops.

Idea: copy one number at a time; add one number at a time. This is the specification.
"""


def forward(index, weight, out):
    for t, v in enumerate(index):
        for d in range(weight.shape[1]):
            out[t, d] = weight[v, d]


def backward_w(dy, index, padding_idx, out):
    out[...] = 0
    for t, v in enumerate(index):
        if v != padding_idx:
            for d in range(dy.shape[1]):
                out[v, d] += dy[t, d]
