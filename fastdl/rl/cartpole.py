"""CartPole: keep a pole upright by pushing the cart under it to the left or right. Many copies side by side.

    a = (F + m l w^2 sin t) / M,  w' = (g sin t - a cos t) / (l (4/3 - m cos^2 t / M)),  x'' = a - m l w' cos t / M

with g 9.8, cart 1 kg, pole 0.1 kg of half length l = 0.5 m (m l = 0.05, M = 1.1), F = +-10 N, Euler steps of 0.02 s. An
episode ends when |x| > 2.4 m or |t| > 12 degrees (terminal), or after 500 steps (cut off: not terminal). Reward 1 a step.

Ref  Barto, Sutton, Anderson 1983; the constants of gymnasium's CartPole-v1.
"""

import numpy as np

_M, _ML, _L, _G, _F, _TAU = 1.1, 0.05, 0.5, 9.8, 10.0, 0.02
_ANGLE = 12 * 2 * np.pi / 360


class CartPole:
    """n carts; observations (n, 4) float32: position, speed, angle, angular speed.

    Example
    >>> env = CartPole(2, seed=0)
    >>> env.reset().shape, [a.shape for a in env.step(np.array([0, 1]))]
    ((2, 4), [(2, 4), (2,), (2,), (2,)])
    """

    actions, shape, limit = 2, (4,), 500

    def __init__(self, n=1, seed=0):
        self.n, self.rng = n, np.random.default_rng(seed)
        self.state, self.steps = np.zeros((n, 4)), np.zeros(n, np.int64)

    def reset(self, rows=None):
        """Start anew, all or the rows given: every number uniform in +-0.05; returns all observations."""
        rows = np.arange(self.n) if rows is None else np.asarray(rows)
        self.state[rows] = self.rng.uniform(-0.05, 0.05, (len(rows), 4))
        self.steps[rows] = 0
        return self.state.astype(np.float32)

    def step(self, actions):
        """(observations (n, 4), rewards (n,), terminal (n,), cut off (n,)); the caller resets what has ended."""
        actions = np.asarray(actions)
        if actions.shape != (self.n,) or not np.isin(actions, (0, 1)).all():
            raise ValueError(f"CartPole: needs {self.n} actions, each 0 (left) or 1 (right); got {actions!r}")
        x, v, angle, w = self.state.T
        force = np.where(actions == 1, _F, -_F)
        cos, sin = np.cos(angle), np.sin(angle)
        push = (force + _ML * w**2 * sin) / _M
        turn = (_G * sin - cos * push) / (_L * (4 / 3 - 0.1 * cos**2 / _M))
        pull = push - _ML * turn * cos / _M
        self.state = np.stack([x + _TAU * v, v + _TAU * pull, angle + _TAU * w, w + _TAU * turn], 1)
        self.steps += 1
        terminal = (np.abs(self.state[:, 0]) > 2.4) | (np.abs(self.state[:, 2]) > _ANGLE)
        return self.state.astype(np.float32), np.ones(self.n), terminal, (self.steps >= self.limit) & ~terminal
