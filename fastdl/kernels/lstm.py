"""Long short-term memory: one layer, one direction, a whole sequence.

Maths     i, f, o = sigmoid(W x_t + b_ih + U h_{t-1} + b_hh), g = tanh(the same), each with its own block of rows;
          c_t = f c_{t-1} + i g,  y_t = h_t = o tanh(c_t)
Shapes    x (T, B, D); h0, c0 (B, H); w_ih (4H, D), w_hh (4H, H), b_ih and b_hh (4H,) or None: float32 or float64, rows
          in the order i, f, g, o. reverse: time runs from T-1 to 0 (y_t still lies at t).
          Result y (T, B, H), hT and cT (B, H) of the step done last, and what backward needs: gates (T, B, 4H) and
          cells c_t (T, B, H).
Backward  with dc_t = dc_{t+1} f_{t+1} + dh_t o (1 - tanh(c_t)^2):  the gradients before the activations are
          dc g i(1-i), dc c_{t-1} f(1-f), dc i (1-g^2), dh tanh(c) o(1-o);  dh_{t-1} = dgates U + dy_{t-1};
          dx, dw_ih, dw_hh are products of all steps at once. db serves b_ih and b_hh.
Cost      8 T B H (D + H) FLOPs forward, twice that backward.
Errors    ValueError for shapes that do not fit and for an empty sequence, TypeError for other or unequal dtypes.
Notes     An empty batch gives empty results. A cell is T = 1. Layers and directions are composed above (nn.LSTM).
Ref       Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; Gers et al., "Learning to Forget", 2000.
"""

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._recurrent import check_layer, gradient, saved, sequence_cost
from fastdl.kernels._registry import implementation


def lstm_forward(x, h0, c0, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False):
    """(y, hT, cT, gates, cells); see the top of this file."""
    (T, B, _, H), dtype = check_layer("lstm", 4, x, h0, w_ih, w_hh, b_ih, b_hh, c0)
    y, cells, gates = empty((T, B, H), dtype), empty((T, B, H), dtype), empty((T, B, 4 * H), dtype)
    hT, cT = empty((B, H), dtype), empty((B, H), dtype)
    arrays = [None if a is None else plain(a) for a in (x, h0, c0, w_ih, w_hh, b_ih, b_hh)]
    implementation("lstm", dtype).forward(*arrays, bool(reverse), y, hT, cT, gates, cells)
    return y, hT, cT, gates, cells


def lstm_backward(dy, dhT, dcT, x, h0, c0, w_ih, w_hh, y, gates, cells, reverse=False, need_dx=True):
    """(dx, dh0, dc0, dw_ih, dw_hh, db). dy, dhT, dcT may be None (zero); without need_dx, dx is None."""
    (T, B, D, H), dtype = check_layer("lstm", 4, x, h0, w_ih, w_hh, None, None, c0)
    seq, state = (T, B, H), (B, H)
    dy = gradient("lstm", "dy", dy, seq, dtype)
    dhT, dcT = gradient("lstm", "dhT", dhT, state, dtype), gradient("lstm", "dcT", dcT, state, dtype)
    saved("lstm", y=(y, seq, dtype), gates=(gates, (T, B, 4 * H), dtype), cells=(cells, seq, dtype))
    dx = empty((T, B, D), dtype) if need_dx else None
    dh0, dc0 = empty(state, dtype), empty(state, dtype)
    dw_ih, dw_hh, db = empty((4 * H, D), dtype), empty((4 * H, H), dtype), empty((4 * H,), dtype)
    arrays = [plain(a) for a in (x, h0, c0, w_ih, w_hh, y, gates, cells)]
    implementation("lstm", dtype).backward(dy, dhT, dcT, *arrays, bool(reverse), dx, dh0, dc0, dw_ih, dw_hh, db)
    return dx, dh0, dc0, dw_ih, dw_hh, db


def lstm_cost(x, w_hh, backward=False, **_):
    """(FLOPs, bytes) of lstm_forward, or of lstm_backward."""
    return sequence_cost(4, x, w_hh, backward)
