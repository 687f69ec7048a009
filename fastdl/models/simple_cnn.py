"""A small convolutional network: two convolutions find features, two dense layers decide.

    x (N, 1, 28, 28) -> 16 @ 5x5, ReLU, pool 2 -> 32 @ 5x5, ReLU, pool 2 (N, 32, 4, 4) -> 64 -> classes

The measure of the classifiers of this course: what small images give to a network that any reader can write.

Ref  LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998 (the plan of it).
"""

from fastdl import nn
from fastdl.nn.blocks import check_images


class SimpleCNN(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, size, size) -> (N, num_classes)
    Parameters  features.{0,3}, classifier.{0,2}

    Example
    >>> sum(p.numel() for p in SimpleCNN(1, 10).parameters())
    46730
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, width: int = 16, hidden: int = 64, size: int = 28):
        super().__init__()
        if size < 16:
            raise ValueError(f"SimpleCNN: images of {size} x {size} are too small: at least 16 x 16")
        self.in_channels, self.size = in_channels, size
        self.grid = ((size - 4) // 2 - 4) // 2  # height and width of the maps that the dense layers see
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, width, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(width, 2 * width, 5), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.classifier = nn.Sequential(
            nn.Linear(2 * width * self.grid**2, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
        )

    def forward(self, x):
        check_images("SimpleCNN", x, self.in_channels, self.size, "for which its dense layers were made")
        return self.classifier(self.features(x).flatten(1))
