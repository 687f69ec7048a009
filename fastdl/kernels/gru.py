"""Gated recurrent unit: one layer, one direction, a whole sequence.

Maths     r, z = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh), each with its own block of rows;
          n = tanh(W_n x_t + b_in + r (U_n h_{t-1} + b_hn)),  y_t = h_t = (1 - z) n + z h_{t-1}
Shapes    x (T, B, D); h0 (B, H); w_ih (3H, D), w_hh (3H, H), b_ih and b_hh (3H,) or None: float32 or float64, rows in
          the order r, z, n. reverse: time runs from T-1 to 0 (y_t still lies at t).
          Result y (T, B, H), hT (B, H) of the step done last, and what backward needs: gates r, z, n (T, B, 3H) and
          cells = U_n h_{t-1} + b_hn (T, B, H).
Backward  before the activations dn = dh (1-z) (1-n^2), dr = dn cells r(1-r), dz = dh (h_{t-1} - n) z(1-z); the
          recurrent part of n gets dn r;  dh_{t-1} = dh z + [dr, dz, dn r] U + dy_{t-1}; dx and the weights' gradients
          are products of all steps at once. db_ih sums dr, dz, dn; db_hh sums dr, dz, dn r.
Cost      6 T B H (D + H) FLOPs forward, twice that backward.
Errors    ValueError for shapes that do not fit and for an empty sequence, TypeError for other or unequal dtypes.
Notes     As in PyTorch r multiplies after the matrix ("linear before reset"), not before it as in the paper.
          An empty batch gives empty results. A cell is T = 1. Layers and directions are composed above (nn.GRU).
Ref       Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014.
"""

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._recurrent import check_layer, gradient, saved, sequence_cost
from fastdl.kernels._registry import implementation


def gru_forward(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False):
    """(y, hT, gates, cells); see the top of this file."""
    (T, B, _, H), dtype = check_layer("gru", 3, x, h0, w_ih, w_hh, b_ih, b_hh)
    y, cells, gates = empty((T, B, H), dtype), empty((T, B, H), dtype), empty((T, B, 3 * H), dtype)
    hT = empty((B, H), dtype)
    arrays = [None if a is None else plain(a) for a in (x, h0, w_ih, w_hh, b_ih, b_hh)]
    implementation("gru", dtype).forward(*arrays, bool(reverse), y, hT, gates, cells)
    return y, hT, gates, cells


def gru_backward(dy, dhT, x, h0, w_ih, w_hh, y, gates, cells, reverse=False, need_dx=True):
    """(dx, dh0, dw_ih, dw_hh, db_ih, db_hh). dy and dhT may be None (zero); without need_dx, dx is None."""
    (T, B, D, H), dtype = check_layer("gru", 3, x, h0, w_ih, w_hh, None, None)
    seq, state = (T, B, H), (B, H)
    dy, dhT = gradient("gru", "dy", dy, seq, dtype), gradient("gru", "dhT", dhT, state, dtype)
    saved("gru", y=(y, seq, dtype), gates=(gates, (T, B, 3 * H), dtype), cells=(cells, seq, dtype))
    dx = empty((T, B, D), dtype) if need_dx else None
    dh0, dw_ih, dw_hh = empty(state, dtype), empty((3 * H, D), dtype), empty((3 * H, H), dtype)
    db_ih, db_hh = empty((3 * H,), dtype), empty((3 * H,), dtype)
    arrays = [plain(a) for a in (x, h0, w_ih, w_hh, y, gates, cells)]
    implementation("gru", dtype).backward(dy, dhT, *arrays, bool(reverse), dx, dh0, dw_ih, dw_hh, db_ih, db_hh)
    return dx, dh0, dw_ih, dw_hh, db_ih, db_hh


def gru_cost(x, w_hh, backward=False, **_):
    """(FLOPs, bytes) of gru_forward, or of gru_backward."""
    return sequence_cost(3, x, w_hh, backward)
