"""Plain recurrent layer (Elman network): one layer, one direction, a whole sequence.

Maths     y_t = h_t = act(W x_t + b_ih + U h_{t-1} + b_hh), act = tanh or relu
Shapes    x (T, B, D); h0 (B, H); w_ih (H, D), w_hh (H, H), b_ih and b_hh (H,) or None: float32 or float64.
          reverse: time runs from T-1 to 0 (y_t still lies at t).
          Result y (T, B, H), and hT (B, H) of the step done last.
Backward  d_t = dh_t (1 - y_t^2), or dh_t where y_t > 0;  dh_{t-1} = d_t U + dy_{t-1}; dx, dw_ih, dw_hh are products of
          all steps at once. db serves b_ih and b_hh.
Cost      2 T B H (D + H) FLOPs forward, twice that backward.
Errors    ValueError for shapes that do not fit, an empty sequence or an unknown activation, TypeError for dtypes.
Notes     An empty batch gives empty results. A cell is T = 1. Layers and directions are composed above (nn.RNN).
Ref       Elman, "Finding Structure in Time", 1990.
"""

from fastdl.kernels._memory import empty, plain
from fastdl.kernels._recurrent import check_layer, gradient, saved, sequence_cost
from fastdl.kernels._registry import implementation


def _is_relu(act):
    if act not in ("tanh", "relu"):
        raise ValueError(f"rnn: the activation must be 'tanh' or 'relu'; got {act!r}")
    return act == "relu"


def rnn_forward(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, act="tanh", reverse=False):
    """(y, hT); see the top of this file."""
    (T, B, _, H), dtype = check_layer("rnn", 1, x, h0, w_ih, w_hh, b_ih, b_hh)
    y, hT = empty((T, B, H), dtype), empty((B, H), dtype)
    arrays = [None if a is None else plain(a) for a in (x, h0, w_ih, w_hh, b_ih, b_hh)]
    implementation("rnn", dtype).forward(*arrays, _is_relu(act), bool(reverse), y, hT)
    return y, hT


def rnn_backward(dy, dhT, x, h0, w_ih, w_hh, y, act="tanh", reverse=False, need_dx=True):
    """(dx, dh0, dw_ih, dw_hh, db). dy and dhT may be None (zero); without need_dx, dx is None."""
    (T, B, D, H), dtype = check_layer("rnn", 1, x, h0, w_ih, w_hh, None, None)
    dy, dhT = gradient("rnn", "dy", dy, (T, B, H), dtype), gradient("rnn", "dhT", dhT, (B, H), dtype)
    saved("rnn", y=(y, (T, B, H), dtype))
    dx = empty((T, B, D), dtype) if need_dx else None
    dh0, dw_ih, dw_hh, db = empty((B, H), dtype), empty((H, D), dtype), empty((H, H), dtype), empty((H,), dtype)
    arrays = [plain(a) for a in (x, h0, w_ih, w_hh, y)]
    implementation("rnn", dtype).backward(dy, dhT, *arrays, _is_relu(act), bool(reverse), dx, dh0, dw_ih, dw_hh, db)
    return dx, dh0, dw_ih, dw_hh, db


def rnn_cost(x, w_hh, backward=False, **_):
    """(FLOPs, bytes) of rnn_forward, or of rnn_backward."""
    return sequence_cost(1, x, w_hh, backward)
