"""Connectionist temporal classification: the probability of a label sequence, summed over all its alignments.

Maths  A path emits one of C symbols (one of them the blank) a time step; dropping repeats, then blanks, gives the labels.
       With the labels spread as l' = (blank, l1, blank, l2, ..., blank), length L = 2 S + 1, the probability of all paths
       that are at state s at time t is alpha[t, s] = (alpha[t-1, s] + alpha[t-1, s-1] + alpha[t-1, s-2] if l'[s] is no
       blank and differs from l'[s-2]) p[t, l'[s]]. The loss is -log(alpha[T-1, L-1] + alpha[T-1, L-2]). All in logarithms.
Cost   T L N logaddexp of three; NumPy runs along (N, L), Python along T.
Ref    Graves, Fernandez, Gomez, Schmidhuber, "Connectionist Temporal Classification", ICML 2006, section 4
"""

import numpy as np

from fastdl.autograd import Function, Tensor, grad, is_grad_enabled
from fastdl.ops.elementwise import logaddexp, where
from fastdl.ops.index import gather
from fastdl.ops.loss import reduced
from fastdl.ops.shape import cat, stack

_NEVER = -1e30  # the logarithm of 0 where derivatives pass: -inf would make NaN of them


class _Alignment:
    """The states of a batch: symbol (N, L) of each, skip (N, L): may it be reached from two before; lengths (N,)."""

    def __init__(self, labels, input_lengths, target_lengths, blank):
        N, S = labels.shape
        self.symbol = np.full((N, 2 * S + 1), blank, np.int64)
        self.symbol[:, 1::2] = labels
        self.skip = np.zeros(self.symbol.shape, bool)
        self.skip[:, 2:] = (self.symbol[:, 2:] != blank) & (self.symbol[:, 2:] != self.symbol[:, :-2])
        self.steps, self.count = input_lengths, target_lengths
        self.last = np.zeros(self.symbol.shape, bool)  # the states a path may end in
        rows = np.arange(N)
        self.last[rows, 2 * target_lengths] = True
        self.last[rows[target_lengths > 0], 2 * target_lengths[target_lengths > 0] - 1] = True


def _shifted(a, by, fill=-np.inf):
    """a (N, L) moved by `by` states to the right (left if negative), filled with log 0."""
    out = np.full_like(a, fill)
    if by > 0:
        out[:, by:] = a[:, :-by]
    else:
        out[:, :by] = a[:, -by:]
    return out


def _three(a, b, c):
    return np.logaddexp(np.logaddexp(a, b), c)


def _forward_backward(log_probs, alignment):
    """(loss (N,), posterior (T, N, L)) of log_probs (T, N, C), in float64."""
    emit = np.take_along_axis(log_probs.astype(np.float64), alignment.symbol[None], 2)  # (T, N, L)
    T, N, L = emit.shape
    alpha = np.full((T, N, L), -np.inf)
    alpha[0, :, :2] = emit[0, :, :2]
    for t in range(1, T):
        a = alpha[t - 1]
        new = _three(a, _shifted(a, 1), np.where(alignment.skip, _shifted(a, 2), -np.inf)) if L > 1 else a
        alpha[t] = new + emit[t]
    end = alignment.steps - 1
    final = np.where(alignment.last, alpha[end, np.arange(N)], -np.inf)
    loss = -np.logaddexp.reduce(final, axis=1)
    beta = np.where(alignment.last, 0.0, -np.inf)
    start = beta.copy()
    posterior = np.zeros_like(alpha)
    skip_from = np.zeros_like(alignment.skip)  # may state s be left to s + 2
    skip_from[:, :-2] = alignment.skip[:, 2:]
    possible = np.isfinite(loss)
    for t in range(T - 1, -1, -1):
        if t < T - 1:
            b = beta + emit[t + 1]
            new = _three(b, _shifted(b, -1), np.where(skip_from, _shifted(b, -2), -np.inf)) if L > 1 else b
            beta = np.where((t < end)[:, None], new, start)
        inside = possible & (t <= end)
        posterior[t, inside] = np.exp(alpha[t, inside] + beta[inside] + loss[inside, None])
    return loss, posterior


def _composed(log_probs, alignment):
    """The loss (N,) in differentiable functions, for derivatives of higher order; 0 where there is no alignment."""
    T, N, _ = log_probs.array.shape
    symbols = np.broadcast_to(alignment.symbol, (T, *alignment.symbol.shape))
    emit = gather(log_probs, 2, Tensor(symbols.copy())).unbind(0)
    L = alignment.symbol.shape[1]
    dtype = log_probs.array.dtype
    never = Tensor(np.full((N, L), _NEVER, dtype))
    first = Tensor(np.arange(L) < 2)
    alpha = [where(first, emit[0], never)]
    skip = Tensor(alignment.skip)
    for t in range(1, T):
        a = alpha[-1]
        if L > 1:
            one = cat([never[:, :1], a[:, :-1]], 1)
            two = where(skip, cat([never[:, :2], a[:, :-2]], 1), never)
            a = logaddexp(logaddexp(a, one), two)
        alpha.append(a + emit[t])
    at_end = stack(alpha, 0)[Tensor(alignment.steps - 1), Tensor(np.arange(N))]
    final = where(Tensor(alignment.last), at_end, never).logsumexp(1)
    return where(Tensor(final.array > _NEVER / 2), -final, Tensor(np.zeros(N, dtype)))


class CTC(Function):
    """The loss of each sample (N,) from log probabilities (T, N, C)."""

    @staticmethod
    def forward(ctx, log_probs, alignment):
        loss, posterior = _forward_backward(log_probs.array, alignment)
        ctx.save_for_backward(log_probs)
        ctx.alignment = alignment
        ctx.posterior = posterior if ctx.recording else None
        return Tensor(loss.astype(log_probs.array.dtype))

    @staticmethod
    def backward(ctx, dy):
        (log_probs,) = ctx.saved_tensors
        if is_grad_enabled():
            return grad(_composed(log_probs, ctx.alignment), log_probs, dy, create_graph=True)[0], None
        T, N, _ = ctx.posterior.shape
        dx = np.zeros(log_probs.array.shape, np.float64)
        share = ctx.posterior * dy.array.astype(np.float64)[:, None]  # (T, N, L)
        np.subtract.at(dx, (np.arange(T)[:, None, None], np.arange(N)[:, None], ctx.alignment.symbol), share)
        return Tensor(dx.astype(log_probs.array.dtype)), None


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """-log of the probability of each label sequence, summed over its alignments.

    Shapes: log_probs (T, N, C) or (T, C), logarithms of probabilities; targets (N, S), or all sequences one after the
    other (sum of target_lengths,); input_lengths and target_lengths (N,). "mean" divides each loss by its target's
    length first. zero_infinity: sequences that fit no alignment (too long) count 0 instead of inf.
    Errors: ValueError for lengths and labels that do not fit.
    Notes: the gradient is that of the formula; torch's adds exp(log_probs), which a log_softmax before it takes out again.
    """
    single = log_probs.array.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    if x.array.ndim != 3:
        raise ValueError(f"ctc_loss: log_probs must be (T, N, C) or (T, C); got shape {log_probs.array.shape}")
    T, N, C = x.array.shape
    steps, count = (
        np.asarray(t.array if isinstance(t, Tensor) else t, np.int64).reshape(-1)
        for t in (input_lengths, target_lengths)
    )
    if len(steps) != N or len(count) != N:
        raise ValueError(f"ctc_loss: {N} sequences need as many lengths; got {len(steps)} and {len(count)}")
    if N and (steps.min() < 1 or steps.max() > T):
        raise ValueError(f"ctc_loss: input_lengths must lie in 1..{T}; got {steps.min()}..{steps.max()}")
    if not 0 <= blank < C:
        raise ValueError(f"ctc_loss: blank={blank} is out of range for {C} classes")
    labels = _padded(np.asarray(targets.array if isinstance(targets, Tensor) else targets), count, blank, single)
    used = np.arange(labels.shape[1]) < count[:, None]
    if (((labels < 0) | (labels >= C)) & used).any():
        raise ValueError(f"ctc_loss: targets must lie in 0..{C - 1}")
    loss = CTC.apply(x, _Alignment(np.where(used, labels, blank), steps, count, blank))
    if zero_infinity:
        loss = where(Tensor(np.isfinite(loss.array)), loss, Tensor(np.zeros(N, loss.array.dtype)))
    if reduction == "mean":
        return (loss / Tensor(np.maximum(count, 1).astype(loss.array.dtype))).mean()
    return reduced(loss.squeeze(0) if single else loss, reduction, "ctc_loss")


def _padded(targets, count, blank, single):
    """Targets as (N, S), from (N, S) or from one sequence after the other."""
    if targets.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: targets must be integers, got {targets.dtype}")
    N = len(count)
    if targets.ndim == 2 or (single and targets.ndim == 1):
        rows = targets if targets.ndim == 2 else targets[None]
        if len(rows) != N or (N and count.max() > rows.shape[1]):
            raise ValueError(
                f"ctc_loss: targets {targets.shape} do not hold {N} sequences of up to {count.max()} labels"
            )
        return rows.astype(np.int64)
    if targets.ndim != 1 or len(targets) != count.sum():
        raise ValueError(f"ctc_loss: targets {targets.shape} must be (N, S) or hold {count.sum()} labels in a row")
    rows = np.full((N, int(count.max(initial=0))), blank, np.int64)
    rows[np.arange(rows.shape[1]) < count[:, None]] = targets
    return rows
