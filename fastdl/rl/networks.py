"""Networks that give one value for every action: those of the 2013 and 2015 papers, and smaller ones.

Ref  Mnih et al. 2013, arXiv 1312.5602; Mnih et al. 2015, Nature 518; dueling: Wang et al. 2016, arXiv 1511.06581.
"""

import itertools

from fastdl import nn
from fastdl.nn import functional as F


class _Dueling(nn.Module):
    """Values from one number for the state and one advantage for each action: V + A - mean A."""

    def __init__(self, features, hidden, actions):
        super().__init__()
        self.value = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.advantage = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, actions))

    def forward(self, x):
        a = self.advantage(x)
        return self.value(x) + a - a.mean(-1, keepdim=True)


def _head(features, hidden, actions, dueling):
    if dueling:
        return _Dueling(features, hidden, actions)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, actions))


class PlayingAtariNet(nn.Module):
    """The 2013 network: 677,172 parameters for 4 actions.

    Shapes      x (N, 4, 84, 84) grey frames 0..1 -> (N, actions)
    Parameters  features.0, .2 (convolutions 16 8x8 /4 and 32 4x4 /2), head.0, head.2
    """

    def __init__(self, actions=4, frames=4, dueling=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(frames, 16, 8, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=2), nn.ReLU()
        )
        self.head = _head(32 * 9 * 9, 256, actions, dueling)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class NatureNet(nn.Module):
    """The 2015 network: 1,686,180 parameters for 4 actions.

    Shapes      x (N, 4, 84, 84) grey frames 0..1 -> (N, actions)
    Parameters  features.0, .2, .4 (convolutions 32 8x8 /4, 64 4x4 /2, 64 3x3), head.0, head.2
    """

    def __init__(self, actions=4, frames=4, dueling=False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(frames, 32, 8, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(),
            nn.Conv2d(64, 64, 3), nn.ReLU(),
        )  # fmt: skip
        self.head = _head(64 * 7 * 7, 512, actions, dueling)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class SmallConvNet(nn.Module):
    """Two 3x3 convolutions and a hidden layer, for pictures of a few pixels (C, H, W)."""

    def __init__(self, shape, actions, channels=16, hidden=64, dueling=False):
        super().__init__()
        C, H, W = shape
        self.features = nn.Sequential(
            nn.Conv2d(C, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        )
        self.head = _head(channels * H * W, hidden, actions, dueling)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


class QMLP(nn.Module):
    """Linear layers with ReLU: 17,410 parameters for 4 numbers, 2 actions and the default sizes."""

    def __init__(self, inputs, actions, hidden=(128, 128)):
        super().__init__()
        sizes = [inputs, *hidden]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])
        self.output = nn.Linear(sizes[-1], actions)

    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.output(x)


class DuelingMLP(nn.Module):
    """One hidden layer, then the two streams of the dueling network."""

    def __init__(self, inputs, actions, hidden=128):
        super().__init__()
        self.first, self.head = nn.Linear(inputs, hidden), _Dueling(hidden, hidden, actions)

    def forward(self, x):
        return self.head(F.relu(self.first(x)))
