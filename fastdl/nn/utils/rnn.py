"""Sequences of different lengths: padded, packed, masked.

A packed sequence holds no padding: first step 1 of all sequences (the longest first), then step 2 of those that have one, ...
"""

from typing import NamedTuple

import numpy as np

from fastdl.autograd import Tensor
from fastdl.ops.shape import cat

__all__ = [
    "PackedSequence", "last_valid", "length_mask", "masked_mean", "pack_padded_sequence", "pack_sequence",
    "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class PackedSequence(NamedTuple):
    """data (sum of lengths, ...); batch_sizes (longest,): how many sequences have each step.

    sorted_indices (B,): which sequence stands in each row; unsorted_indices: the reverse; None if they were sorted already.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def lengths(self) -> np.ndarray:
        """(B,) lengths in the order of the rows, longest first."""
        sizes = self.batch_sizes.array
        return (sizes[None] > np.arange(sizes[0])[:, None]).sum(1)


def _lengths(lengths, name, T=None):
    n = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths)
    if n.ndim != 1 or n.dtype.kind not in "iu" or not n.size:
        raise ValueError(f"{name}: lengths must be one integer a sequence; got {n.dtype} of shape {n.shape}")
    if n.min() <= 0:
        raise ValueError(f"{name}: every length must be at least 1; sequence {int(n.argmin())} has {n.min()}")
    if T is not None and n.max() > T:
        raise ValueError(f"{name}: sequence {int(n.argmax())} has length {n.max()}, but the input has {T} steps")
    return n.astype(np.int64)


def _packed_places(lengths, B):
    """(t, b) of every row of the packed data, for lengths (B,) in falling order; and the batch sizes."""
    sizes = (lengths[None] > np.arange(lengths[0])[:, None]).sum(1)  # (T,)
    t = np.repeat(np.arange(len(sizes)), sizes)
    b = np.arange(len(t)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return t, b, sizes


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """PackedSequence of input (T, B, ...), or (B, T, ...) with batch_first; enforce_sorted: lengths must fall already."""
    x = input.transpose(0, 1) if batch_first else input
    T, B = x.shape[:2]
    n = _lengths(lengths, "pack_padded_sequence", T)
    if len(n) != B:
        raise ValueError(f"pack_padded_sequence: {len(n)} lengths for {B} sequences")
    order = None
    if not enforce_sorted:
        order = np.argsort(-n, kind="stable")
    elif (np.diff(n) > 0).any():
        raise RuntimeError("pack_padded_sequence: lengths must fall; hint: enforce_sorted=False")
    rows = np.arange(B) if order is None else order
    t, b, sizes = _packed_places(n[rows], B)
    data = x.reshape(T * B, *x.shape[2:])[Tensor(t * B + rows[b])]
    if order is None:
        return PackedSequence(data, Tensor(sizes))
    return PackedSequence(data, Tensor(sizes), Tensor(order), Tensor(np.argsort(order)))


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """(padded (T, B, ...) or (B, T, ...), lengths (B,)) of a PackedSequence, in the original order."""
    data, sizes = sequence.data, sequence.batch_sizes.array
    T, B = len(sizes), int(sizes[0])
    if total_length is not None:
        if total_length < T:
            raise ValueError(f"pad_packed_sequence: total_length={total_length} is less than the longest sequence, {T}")
        T = total_length
    lengths = sequence.lengths()
    t, b, _ = _packed_places(lengths, B)
    place = np.full((T, B), len(data.array))  # the row after the last holds the padding
    place[t, b] = np.arange(len(t))
    if sequence.unsorted_indices is not None:
        place, lengths = place[:, sequence.unsorted_indices.array], lengths[sequence.unsorted_indices.array]
    padding = Tensor(np.full((1, *data.shape[1:]), padding_value, data.dtype))
    y = cat([data, padding])[Tensor(place)]
    return (y.transpose(0, 1) if batch_first else y), Tensor(lengths)


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """(T, B, ...), or (B, T, ...) with batch_first, of B tensors (T_i, ...)."""
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side must be 'left' or 'right'; got {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise ValueError("pad_sequence: needs at least one sequence")
    longest = max(s.shape[0] for s in sequences)
    padded = []
    for s in sequences:
        missing = longest - s.shape[0]
        if missing:
            fill = Tensor(np.full((missing, *s.shape[1:]), padding_value, s.dtype))
            s = cat([s, fill] if padding_side == "right" else [fill, s])
        padded.append(s.unsqueeze(0 if batch_first else 1))
    return cat(padded, 0 if batch_first else 1)


def pack_sequence(sequences, enforce_sorted=True):
    """PackedSequence of B tensors (T_i, ...)."""
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], False, enforce_sorted)


def unpad_sequence(padded, lengths, batch_first=False):
    """List of B tensors (T_i, ...) of a padded one: the reverse of pad_sequence."""
    x = padded if batch_first else padded.transpose(0, 1)
    n = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths)
    return [x[i, : int(k)] for i, k in enumerate(n)]


def unpack_sequence(packed):
    """List of B tensors (T_i, ...): the reverse of pack_sequence."""
    return unpad_sequence(*pad_packed_sequence(packed))


def length_mask(lengths, T=None) -> Tensor:
    """(B, T) bool, True at the steps that a sequence has."""
    n = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths)
    return Tensor(np.arange(int(n.max(initial=0)) if T is None else T)[None] < n[:, None])


def masked_mean(x, lengths):
    """(B, ...): the mean of x (B, T, ...) over the steps that a sequence has; 0 for an empty one."""
    mask = length_mask(lengths, x.shape[1])
    mask = mask.reshape(*mask.shape, *(1,) * (len(x.shape) - 2))
    total = x.masked_fill(Tensor(~mask.array), 0.0).sum(1)
    return total / Tensor(np.maximum(mask.array.sum(1), 1).astype(x.dtype))


def last_valid(x, lengths):
    """(B, ...): the last step that every sequence of x (B, T, ...) has; lengths of at least 1."""
    n = _lengths(lengths, "last_valid", x.shape[1])
    return x[Tensor(np.arange(len(n))), Tensor(n - 1)]
