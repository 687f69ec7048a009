"""How far a gradient reaches back through time: |dL/dh_t| for every step of a recurrent layer.

Ref  Hochreiter 1991; Bengio, Simard, Frasconi 1994; Pascanu, Mikolov, Bengio 2013, arXiv 1211.5063.
"""

import numpy as np

from fastdl.autograd import Tensor, grad
from fastdl.nn import functional as F
from fastdl.ops.rnn import lstm_cell


def gradient_flow(weight, T=50, activation="tanh", batch=8, scale=1.0, seed=0) -> np.ndarray:
    """(T + 1,) norms of dL/dh_t, t = 0 .. T, for h_t = activation(W h_t-1 + scale noise) and L = sum of h_T.

    weight (H, H) array; activation "tanh", "sigmoid", "relu" or "linear". Mean over the batch of sequences.
    """
    functions = {"tanh": F.tanh, "sigmoid": F.sigmoid, "relu": F.relu, "linear": lambda x: x}
    if activation not in functions:
        raise ValueError(f"gradient_flow: activation must be one of {', '.join(functions)}; got {activation!r}")
    W = np.asarray(weight, np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1]:
        raise ValueError(f"gradient_flow: weight must be square; got shape {W.shape}")
    rng = np.random.default_rng(seed)
    h = Tensor(rng.standard_normal((batch, len(W))) * scale, requires_grad=True)
    states, matrix = [h], Tensor(W.T.copy())
    for _ in range(T):
        h = functions[activation](h @ matrix + Tensor(rng.standard_normal((batch, len(W))) * scale))
        states.append(h)
    return _norms(states)


def lstm_gradient_flow(hidden=64, T=50, forget_bias=1.0, batch=8, seed=0, radius=None, scale=1.0) -> np.ndarray:
    """The same for an LSTM with torch's initial weights and this forget bias: norms (T,) of dL/dc_t, t < T, L = sum of h_T.

    radius: the recurrent matrix of every gate is random with this spectral radius instead, the other biases are 0;
    scale: of the inputs.
    """
    rng, H, bound = np.random.default_rng(seed), hidden, hidden**-0.5
    w_ih, w_hh = (Tensor(rng.uniform(-bound, bound, (4 * H, H))) for _ in range(2))
    bias = rng.uniform(-bound, bound, 4 * H)
    if radius is not None:
        w_hh = Tensor(np.concatenate([with_spectral_radius(H, radius, (seed, gate)) for gate in range(4)]))
        bias[...] = 0
    bias[H : 2 * H] = forget_bias
    h, c = (Tensor(np.zeros((batch, H)), requires_grad=True) for _ in range(2))
    states = [c]
    for _ in range(T):
        x = Tensor(rng.standard_normal((batch, H)) * scale)
        h, c = lstm_cell(x, (h, c), w_ih, w_hh, Tensor(bias), Tensor(np.zeros(4 * H)))
        states.append(c)
    return _norms(states[:-1], h.sum())  # h_T depends on the last c inside the cell


def _norms(states, loss=None):
    gradients = grad(states[-1].sum() if loss is None else loss, states, allow_unused=True)
    return np.array([0.0 if g is None else np.linalg.norm(g.array, axis=1).mean() for g in gradients])


def with_spectral_radius(n, radius, seed=0) -> np.ndarray:
    """A random matrix (n, n) whose largest eigenvalue has this absolute value."""
    W = np.random.default_rng(seed).standard_normal((n, n))
    return W * (radius / np.abs(np.linalg.eigvals(W)).max())
