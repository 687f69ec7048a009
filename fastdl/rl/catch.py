"""Catch: a ball falls through a small picture, the paddle at the bottom must be under it. Many games side by side.

Ref  Mnih, Heess, Graves, Kavukcuoglu 2014, arXiv 1406.6247 (the game); Osband et al. 2019, bsuite (board of 10 x 5).
"""

import numpy as np


class Catch:
    """n games; observations (n, 1, height, width) uint8, 255 where the ball and the paddle are.

    Actions 0, 1, 2: left, stay, right. After height - 1 steps the ball is at the bottom: reward 1 if caught, else -1, and the
    game is over.
    """

    actions = 3

    def __init__(self, n=1, seed=0, height=10, width=5):
        if height < 2 or width < 1:
            raise ValueError(f"Catch: needs a board of at least 2 x 1; got {height} x {width}")
        self.n, self.height, self.width, self.rng = n, height, width, np.random.default_rng(seed)
        self.shape = (1, height, width)
        self.ball, self.row, self.paddle = (np.zeros(n, np.int64) for _ in range(3))
        self.reset()

    def reset(self, rows=None):
        """Start anew, all or the rows given; returns all observations."""
        rows = np.arange(self.n) if rows is None else np.asarray(rows)
        self.ball[rows] = self.rng.integers(0, self.width, len(rows))
        self.row[rows] = 0
        self.paddle[rows] = self.width // 2
        return self.observe()

    def observe(self):
        """The boards as pictures."""
        x, i = np.zeros((self.n, 1, self.height, self.width), np.uint8), np.arange(self.n)
        x[i, 0, np.minimum(self.row, self.height - 1), self.ball] = 255
        x[i, 0, self.height - 1, self.paddle] = 255
        return x

    def step(self, actions):
        """(observations, rewards (n,), terminal (n,), cut off (n,) (never)); the caller resets what has ended."""
        actions = np.asarray(actions)
        if actions.shape != (self.n,) or not np.isin(actions, (0, 1, 2)).all():
            raise ValueError(f"Catch: needs {self.n} actions, each 0, 1 or 2; got {actions!r}")
        self.paddle = np.clip(self.paddle + actions - 1, 0, self.width - 1)
        self.row = self.row + 1
        over = self.row >= self.height - 1
        reward = np.where(over, np.where(self.ball == self.paddle, 1.0, -1.0), 0.0)
        return self.observe(), reward, over, np.zeros(self.n, bool)
