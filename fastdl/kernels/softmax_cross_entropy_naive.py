"""Cross-entropy in plain loops over (M, C).

Idea: the formula, label by label. It is the specification: nothing here is clever. It computes in float64.
"""

from math import log

from numpy import exp, float64, ones


def forward(logits, labels, weight, ignore_index, smoothing, scale, row_scale, losses, dlogits):
    M, C = logits.shape
    weight = ones(C) if weight is None else weight.astype(float64)
    for m in range(M):
        t = labels[m]
        x = logits[m].astype(float64)
        largest = max(x)
        total = sum(exp(v - largest) for v in x)
        if losses is not None:
            losses[m] = 0
            if t != ignore_index:
                loss = -(1 - smoothing) * weight[t] * (x[t] - largest - log(total))
                if smoothing:
                    loss -= smoothing / C * sum(weight[c] * (x[c] - largest - log(total)) for c in range(C))
                losses[m] = loss
        if dlogits is not None:
            for c in range(C):
                p = exp(x[c] - largest) / total
                d = (1 - smoothing) * weight[t] * (p - (c == t)) if t != ignore_index else 0.0
                if smoothing and t != ignore_index:
                    d += smoothing / C * (p * sum(weight) - weight[c])
                dlogits[m, c] = d * scale * (1 if row_scale is None else row_scale[m])
