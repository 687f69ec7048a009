"""Cross-entropy by NumPy, on (M, C).

Idea: whole-array passes. Faster than loops a hundredfold; about six passes over the logits, one of them through
NumPy's exp.
"""

import numpy as np


def forward(logits, labels, weight, ignore_index, smoothing, scale, row_scale, losses, dlogits):
    M, C = logits.shape
    counted = labels != ignore_index
    t = np.where(counted, labels, 0)
    rows = np.arange(M)
    x = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(x, out=dlogits)
    total = e.sum(axis=1, dtype=np.float64)
    k = (1 - smoothing) * (np.ones(M) if weight is None else weight[t].astype(np.float64)) * counted  # (M,)
    part = smoothing / C * counted
    weight_sum = C if weight is None else weight.sum(dtype=np.float64)
    if losses is not None:
        log_total = np.log(total)
        loss = k * (log_total - x[rows, t])
        if smoothing:
            weighted = x.sum(axis=1, dtype=np.float64) if weight is None else x @ weight
            loss += part * (weight_sum * log_total - weighted)
        losses[...] = np.where(counted, loss, 0)
    if dlogits is not None:
        factor = scale * counted if row_scale is None else scale * counted * row_scale
        e *= (factor * (k + part * weight_sum) / total)[:, None].astype(e.dtype)
        if smoothing:
            e -= ((factor * part)[:, None] * (1 if weight is None else weight)).astype(e.dtype)
        e[rows, t] -= (factor * k).astype(e.dtype)
        e[~counted] = 0
