"""SimCLR: two views of one image shall be alike, and unlike all others.

    x -> two augmentations -> encoder h -> projection head z (Linear, BN, ReLU, Linear), scaled to length 1
    loss of a view i with partner j:  -log( exp(z_i z_j / tau) / sum over all k but i of exp(z_i z_k / tau) )

The head is for the loss only; what is used afterwards is h. With ResNet-50 without its dense layer as the encoder (23,508,032
parameters) the head has 4,460,544 parameters.

Ref  Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations", 2020,
     arXiv 2002.05709. Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
     Hypersphere", 2020, arXiv 2005.10242 (alignment, uniformity).
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.nn import functional as F
from fastdl.ops.shape import cat


class SimCLR(nn.Module):
    """An encoder and its projection head.

    Shapes      x (N, C, H, W) -> z (N, projection), rows of length 1
    Parameters  encoder.*, projector.0.weight, projector.1.*, projector.3.weight

    encoder: a network whose last dense layer is `fc` (it becomes an Identity), or one that gives h (N, features) already and
    names its length in `out_channels`. head: layers of the projection, 2 (the paper's), 1 (linear) or 0 (none).

    Example
    >>> from fastdl.models import resnet20
    >>> SimCLR(resnet20(in_channels=1, width=8), projection=16).features
    32
    """

    def __init__(self, encoder, hidden: int | None = None, projection: int = 128, head: int = 2):
        super().__init__()
        if isinstance(getattr(encoder, "fc", None), nn.Linear):
            self.features = encoder.fc.in_features
            encoder.fc = nn.Identity()
        elif hasattr(encoder, "out_channels"):
            self.features = encoder.out_channels
        else:
            raise ValueError(
                f"SimCLR: {type(encoder).__name__} has neither a dense layer `fc` nor `out_channels`, the length of what it gives"
            )
        if head not in (0, 1, 2):
            raise ValueError(f"SimCLR: head must be 0, 1 or 2 layers; got {head}")
        self.encoder = encoder
        hidden = hidden or self.features
        if head == 2:
            layers = [
                nn.Linear(self.features, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
                nn.Linear(hidden, projection, bias=False),
            ]  # fmt: skip
        else:
            layers = [nn.Linear(self.features, projection, bias=False)] * head
        self.projector = nn.Sequential(*layers)

    def forward(self, x):
        return F.normalize(self.projector(self.encoder(x)), dim=1)

    def represent(self, x, batch: int = 250) -> np.ndarray:
        """h (N, features) of images, in evaluation mode: what is used afterwards."""
        x = x.array if isinstance(x, Tensor) else np.asarray(x)
        was_training = self.training
        self.eval()
        with no_grad():
            h = [self.encoder(Tensor(x[i : i + batch])).array for i in range(0, len(x), batch)]
        self.train(was_training)
        return np.concatenate(h)


def nt_xent(first, second, temperature: float = 0.5):
    """Normalized temperature-scaled cross-entropy, the mean over all 2N views.

    Shapes  first, second (N, d), rows of length 1; row i of one is the partner of row i of the other -> scalar
    Errors  ValueError for shapes that differ, or a temperature that is not above 0
    """
    if first.shape != second.shape or len(first.shape) != 2:
        raise ValueError(f"nt_xent: both views must have one shape (N, d); got {first.shape} and {second.shape}")
    if not temperature > 0:
        raise ValueError(f"nt_xent: temperature must be above 0; got {temperature}")
    N = first.shape[0]
    z = cat([first, second], 0)  # (2N, d)
    similarity = z @ z.T / temperature
    itself = np.zeros((2 * N, 2 * N), similarity.dtype)
    np.fill_diagonal(itself, -1e9)  # a view is no alternative to itself
    partner = np.concatenate([np.arange(N, 2 * N), np.arange(N)])
    return F.cross_entropy(similarity + Tensor(itself), Tensor(partner))


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Mean squared distance of partners (less is better); rows of length 1."""
    return float(((first - second) ** 2).sum(1).mean())


def uniformity(z: np.ndarray, t: float = 2.0) -> float:
    """log of the mean of exp(-t distance^2) over all pairs of rows of length 1 (less is better)."""
    square = np.maximum(2 - 2 * (z.astype(np.float64) @ z.T.astype(np.float64)), 0)
    i, j = np.triu_indices(len(z), 1)
    return float(np.log(np.exp(-t * square[i, j]).mean()))
