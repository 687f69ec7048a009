"""One frozen classifier of 28x28 digits, whose 64 penultimate activations are the space of the Frechet distance.

    x (N, 1, 28, 28) -> conv1 5x5, 16 channels, pad 2, ReLU, pool 2 (N, 16, 14, 14)
      -> conv2 5x5, 32 channels, ReLU, pool 2 (N, 32, 5, 5) -> 800 -> fc1 64, ReLU = features -> fc2 10 scores

Distances in this space compare only with one another, so the weights are never changed: embedded/digit_classifier.safetensors,
65,162 numbers, trained once on the 4,000 training images of mnist5k by

    python -m fastdl.metrics.digit_classifier FILE

(seed 1, 6 epochs of Adam, test accuracy 0.978). 1,000 images against the 1,000 test images, for orientation:

    images                                              distance    score
    training images                                       4 - 7       9.5
    test images plus noise of standard deviation 0.3         46       8.8
    Gaussian with the full covariance, pixels in 0..1       625       3.3     (336 where pixels may leave 0..1)
    test images blurred 5x5                                 930       6.3
    independent pixels                                    1,499       1.2
    the mean image                                        2,504       1.0

Ref  Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule ...", with digits in place of photographs
"""

import sys
from functools import cache
from pathlib import Path

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.data import DataLoader, mnist5k
from fastdl.io import load, save
from fastdl.metrics._arrays import array
from fastdl.metrics.classification import accuracy
from fastdl.metrics.generative import classifier_score, frechet_distance
from fastdl.nn import functional as F
from fastdl.random import fork_rng, manual_seed

WEIGHTS = Path(__file__).parent / "embedded" / "digit_classifier.safetensors"


class DigitClassifier(nn.Module):
    """Scores of the ten digits; `features` gives what is before the last layer. Shapes: (N, 1, 28, 28) -> (N, 10)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.fc1 = nn.Linear(32 * 5 * 5, 64)
        self.fc2 = nn.Linear(64, 10)

    def features(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (N, 16, 14, 14)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # (N, 32, 5, 5)
        return F.relu(self.fc1(x.flatten(1)))  # (N, 64)

    def forward(self, x):
        return self.fc2(self.features(x))


@cache
def _frozen():
    with fork_rng():
        model = DigitClassifier()
    model.load_state_dict(load(WEIGHTS))
    return model.eval()


def digit_features(images, chunk: int = 250):
    """(features (N, 64), probabilities (N, 10)), float64, of images (N, 1, 28, 28), (N, 28, 28) or (N, 784) in 0..1."""
    x = array(images)
    if x.ndim not in (2, 3, 4) or x.size != len(x) * 784 or not len(x):
        raise ValueError(f"digit_features: images must be (N, 1, 28, 28), (N, 28, 28) or (N, 784); got {x.shape}")
    x = np.ascontiguousarray(x, np.float32).reshape(-1, 1, 28, 28)
    if not np.isfinite(x).all():
        raise ValueError("digit_features: the images are not finite")
    if x.max() > 16 or (x < -0.5).mean() > 0.2:
        raise ValueError(
            f"digit_features: images must lie in 0..1 (a little noise beyond is fine); got {x.min():g}..{x.max():g}; "
            "hint: (x + 1) / 2 for -1..1, x / 255 for bytes"
        )
    model, features, probabilities = _frozen(), [], []
    with no_grad():
        for i in range(0, len(x), chunk):
            f = model.features(Tensor(x[i : i + chunk]))
            features.append(f.array)
            probabilities.append(F.softmax(model.fc2(f), -1).array)
    p = np.concatenate(probabilities).astype(np.float64)
    return np.concatenate(features).astype(np.float64), p / p.sum(1, keepdims=True)


def digit_frechet_distance(samples, reference=None) -> float:
    """Frechet distance between samples (about 1,000) and `reference` (default: the 1,000 test images of mnist5k)."""
    if reference is None:
        reference = mnist5k().test.tensors[0]
    return frechet_distance(digit_features(samples)[0], digit_features(reference)[0])


def digit_classifier_score(samples) -> float:
    """`classifier_score` with the frozen classifier, at most 10. Shapes: as for `digit_features`."""
    return classifier_score(digit_features(samples)[1])


def train(file, seed: int = 1, epochs: int = 6, progress: bool = True) -> float:
    """Train the classifier anew and write its weights to `file`; returns the test accuracy."""
    from fastdl.optim import Adam

    manual_seed(seed)
    learn, judge = mnist5k()
    model = DigitClassifier()
    batches = DataLoader(learn, batch_size=32, shuffle=True, seed=seed)
    optimizer = Adam(model.parameters(), lr=2e-3)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - epoch / epochs)
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        x, y = judge.tensors
        with no_grad():
            result = accuracy(model(x), y)
        if progress:
            print(f"epoch {epoch + 1}: test accuracy {result:.3f}")
    save(model, file)
    return result


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fastdl.metrics.digit_classifier FILE")
    train(sys.argv[1])
