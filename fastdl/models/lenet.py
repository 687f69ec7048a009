"""LeNet-5: convolutions and pooling find features, fully connected layers decide.

    x (N, 1, 28, 28) -> conv1 5x5, 6 channels, pad 2 (N, 6, 28, 28) -> pool 2 (N, 6, 14, 14)
      -> conv2 5x5, 16 channels (N, 16, 10, 10) -> pool 2 (N, 16, 5, 5) -> 400 -> fc1 120 -> fc2 84 -> fc3 10 scores

61,706 parameters for one input channel and ten classes, every map of conv2 connected to every one of conv1.

Ref  LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998, section II.B.
     The paper has trained subsampling, tanh, sparse connections in conv2 and radial outputs; here max pooling, ReLU, full
     connections and a linear output with cross-entropy, as the network is taught today. activation="tanh" and
     pool="average" go back a step.
"""

from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import functional as F
from fastdl.nn.blocks.images import check_images


@dataclass(frozen=True)
class LeNetConfig:
    """Sizes and choices; the defaults are the published sizes."""

    in_channels: int = 1
    num_classes: int = 10
    activation: str = "relu"  # or "tanh"
    pool: str = "max"  # or "average"


class LeNet5(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, 28, 28) float -> (N, num_classes)
    Parameters  conv1, conv2, fc1, fc2, fc3

    Example
    >>> sum(p.numel() for p in LeNet5().parameters())
    61706
    """

    def __init__(self, config: LeNetConfig | None = None):
        super().__init__()
        self.config = c = config or LeNetConfig()
        if c.activation not in ("relu", "tanh") or c.pool not in ("max", "average"):
            raise ValueError(f"LeNet5: activation must be relu or tanh, pool max or average; got {c}")
        self.conv1 = nn.Conv2d(c.in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, c.num_classes)

    def features(self, x):
        """(N, in_channels, 28, 28) -> (N, 400)."""
        act = F.relu if self.config.activation == "relu" else F.tanh
        if not hasattr(x, "array") or tuple(x.shape[1:]) != (self.config.in_channels, 28, 28):
            check_images("LeNet5", x, self.config.in_channels)
            raise ValueError(f"LeNet5: images must be 28 x 28; got {tuple(x.shape[2:])}; hint: F.interpolate or F.pad")
        pool = F.max_pool2d if self.config.pool == "max" else F.avg_pool2d
        x = pool(act(self.conv1(x)), 2)  # (N, 6, 14, 14)
        x = pool(act(self.conv2(x)), 2)  # (N, 16, 5, 5)
        return x.flatten(1)

    def forward(self, x):
        act = F.relu if self.config.activation == "relu" else F.tanh
        x = act(self.fc1(self.features(x)))
        x = act(self.fc2(x))
        return self.fc3(x)


def lenet5(**settings) -> LeNet5:
    """LeNet5 with settings of LeNetConfig."""
    return LeNet5(LeNetConfig(**settings))


def loss(scores, labels):
    """Cross-entropy, mean over the batch."""
    return F.cross_entropy(scores, labels)
