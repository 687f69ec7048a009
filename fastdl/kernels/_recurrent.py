"""Checks that the contracts of the recurrent layers (lstm, gru, rnn) share."""

import numpy as np

from fastdl.kernels._memory import plain
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def check_layer(layer, gates, x, h0, w_ih, w_hh, b_ih, b_hh, c0=None):
    """((T, B, D, H), dtype) of one layer over a sequence, or the error that says which argument does not fit."""
    need_ndim(layer, "x", x, 3, "(T, B, D): time, batch, features")
    need_ndim(layer, "w_hh", w_hh, 2, f"({gates}H, H)")
    T, B, D = x.shape
    H = w_hh.shape[1]
    if T == 0:
        raise ValueError(f"{layer}: the sequence is empty (x has shape {x.shape}); it needs at least one step")
    if H == 0 or w_hh.shape[0] != gates * H:
        raise ValueError(f"{layer}: w_hh must have shape ({gates}H, H) with H at least 1; got {w_hh.shape}")
    expected = {"h0": (B, H), "c0": (B, H), "w_ih": (gates * H, D), "b_ih": (gates * H,), "b_hh": (gates * H,)}
    given = {"h0": h0, "c0": c0, "w_ih": w_ih, "b_ih": b_ih, "b_hh": b_hh}
    for name, array in given.items():
        if array is not None and array.shape != expected[name]:
            raise ValueError(
                f"{layer}: {name} must have shape {expected[name]} for x of shape {x.shape} and w_hh of shape "
                f"{w_hh.shape}; got {array.shape}"
            )
    return (T, B, D, H), same_float_dtype(layer, x=x, w_hh=w_hh, **given)


def gradient(layer, name, d, shape, dtype):
    """d, or zeros where it is None: no loss came through this result."""
    if d is None:
        return np.zeros(shape, dtype)
    if d.shape != shape or d.dtype != dtype:
        raise ValueError(f"{layer}: {name} must be {dtype} of shape {shape}; got {d.dtype} of shape {d.shape}")
    return plain(d)


def saved(layer, **arrays):
    """Checks what forward saved: each keyword is (array, shape, dtype)."""
    for name, (array, shape, dtype) in arrays.items():
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{layer}: {name}, which forward saved, must be {dtype} of shape {shape}; "
                f"got {array.dtype} of shape {array.shape}"
            )


def sequence_cost(gates, x, w_hh, backward):
    """(FLOPs, bytes) of one call: the products, twice for backward's two of each; weights and sequences move once."""
    T, B, D = x.shape
    H = w_hh.shape[1]
    flops = 2 * T * B * gates * H * (D + H) * (2 if backward else 1)
    moved = gates * H * (D + H) + T * B * (D + (gates + 2) * H)
    return flops, x.itemsize * moved * (2 if backward else 1)
