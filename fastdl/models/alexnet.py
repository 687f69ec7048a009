"""AlexNet: five convolutions and three dense layers, the network that started the race in 2012.

    variant "torchvision": one tower           variant "2012": two GPUs, here two groups of channels
    x (N, 3, 224, 224)                         x (N, 3, 227, 227)
    64 @ 11x11 s4 p2, ReLU, pool 3 s2          96 @ 11x11 s4, ReLU, LRN, pool 3 s2
    192 @ 5x5 p2, ReLU, pool 3 s2              256 @ 5x5 p2 in 2 groups, ReLU, LRN, pool 3 s2
    384 @ 3x3 p1, ReLU                         384 @ 3x3 p1, ReLU
    256 @ 3x3 p1, ReLU                         384 @ 3x3 p1 in 2 groups, ReLU
    256 @ 3x3 p1, ReLU, pool 3 s2              256 @ 3x3 p1 in 2 groups, ReLU, pool 3 s2
    mean to 6x6; 9216 -> 4096 -> 4096 -> classes, dropout 1/2 before the first two

61,100,840 parameters, and 60,965,224 of the variant of 2012.

Ref  Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012;
     Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, arXiv 1404.5997 (one tower).
"""

from dataclasses import dataclass

from fastdl import nn
from fastdl.nn import init
from fastdl.nn.blocks import check_images, scaled


@dataclass(frozen=True)
class AlexNetConfig:
    """Sizes and choices; the defaults are the published ones."""

    variant: str = "torchvision"  # or "2012"
    num_classes: int = 1000
    in_channels: int = 3
    dropout: float = 0.5
    width_mult: float = 1.0  # of all channels and dense layers
    small_input: bool = False  # for 28 to 64 pixels: the first filters are 5x5 with stride 1, and the last maps 2x2


class AlexNet(nn.Module):
    """Scores of the classes.

    Shapes      x (N, in_channels, H, W), 224x224 (227x227 for "2012"), at least 63x63 -> (N, num_classes)
    Parameters  features.{0,3,6,8,10} ("2012": {0,4,8,10,12}), classifier.{1,4,6}

    Example
    >>> with nn.init_empty():
    ...     sum(p.numel() for p in AlexNet().parameters())
    61100840
    """

    def __init__(self, config: AlexNetConfig | None = None):
        super().__init__()
        self.config = c = config or AlexNetConfig()
        if c.variant not in ("torchvision", "2012"):
            raise ValueError(f"AlexNet: variant must be 'torchvision' or '2012'; got {c.variant!r}")
        old = c.variant == "2012"
        groups = 2 if old else 1
        widths = (96, 256, 384, 384, 256) if old else (64, 192, 384, 256, 256)
        a, b, d, e, f = (groups * scaled(n, c.width_mult / groups) for n in widths)
        hidden = scaled(4096, c.width_mult)
        self.grid = 2 if c.small_input else 6  # height and width of the maps that the dense layers see
        stem = (5, 1, 2) if c.small_input else (11, 4, 0 if old else 2)
        # The paper does not divide alpha by the number of channels, the layer does.
        norm = [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] if old else []
        self.features = nn.Sequential(
            *(nn.Conv2d(c.in_channels, a, *stem), nn.ReLU(), *norm, nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(a, b, 5, padding=2, groups=groups), nn.ReLU(), *norm, nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(b, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, e, 3, padding=1, groups=groups), nn.ReLU()),
            *(nn.Conv2d(e, f, 3, padding=1, groups=groups), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((self.grid, self.grid))
        self.classifier = nn.Sequential(
            *(nn.Dropout(c.dropout), nn.Linear(f * self.grid**2, hidden), nn.ReLU()),
            *(nn.Dropout(c.dropout), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, c.num_classes),
        )
        if old and not c.small_input:
            self._start_as_in_2012()

    def _start_as_in_2012(self):
        """Weights N(0, 0.01); biases 1 in convolutions 2, 4, 5 and the hidden dense layers, else 0."""
        layers = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for i, layer in enumerate(layers):
            init.normal_(layer.weight, 0.0, 0.01)
            init.constant_(layer.bias, 1.0 if i in (1, 3, 4, 5, 6) else 0.0)

    def forward(self, x):
        least = 15 if self.config.small_input else 67 if self.config.variant == "2012" else 63
        check_images("AlexNet", x, self.config.in_channels, least, "or nothing is left for the pool features.12")
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def alexnet(**settings) -> AlexNet:
    """AlexNet with settings of AlexNetConfig."""
    return AlexNet(AlexNetConfig(**settings))
