"""Experience replay: the last `capacity` transitions in arrays that are written round and round."""

import numpy as np


class Replay:
    """Transitions (observation, action, reward, next observation, terminal); pictures stay uint8.

    Example
    >>> memory = Replay(3, (2,), np.float32)
    >>> for i in range(5):
    ...     memory.add(np.full((1, 2), i), [0], [1.0], np.full((1, 2), i + 1), [False])
    >>> len(memory), sorted(memory.observations[:, 0].tolist())
    (3, [2.0, 3.0, 4.0])
    """

    def __init__(self, capacity, shape, dtype=np.float32):
        if capacity < 1:
            raise ValueError(f"Replay: capacity must be at least 1; got {capacity}")
        self.capacity = capacity
        self.observations = np.empty((capacity, *shape), dtype)
        self.following = np.empty((capacity, *shape), dtype)
        self.actions = np.empty(capacity, np.int64)
        self.rewards = np.empty(capacity, np.float32)
        self.terminal = np.empty(capacity, bool)
        self._written = 0

    def __len__(self):
        return min(self._written, self.capacity)

    def add(self, observations, actions, rewards, following, terminal):
        """Append n transitions (first axis n); the oldest are overwritten."""
        rows = (self._written + np.arange(len(observations))) % self.capacity
        self.observations[rows], self.following[rows] = observations, following
        self.actions[rows], self.rewards[rows], self.terminal[rows] = actions, rewards, terminal
        self._written += len(observations)

    def sample(self, n, rng):
        """n transitions drawn uniformly: (observations, actions, rewards, following, terminal)."""
        if not len(self):
            raise ValueError("Replay.sample: nothing was added yet")
        rows = rng.integers(0, len(self), n)
        return (
            self.observations[rows], self.actions[rows], self.rewards[rows], self.following[rows], self.terminal[rows]
        )  # fmt: skip
