"""LeNet-5 on MNIST 5k: 4,000 images to learn from, 1,000 to be judged on.

Baselines on these images: logistic regression 0.906, nearest neighbour 0.931. The number of epochs and all settings are
fixed beforehand; the test images are looked at while it trains (val in the history), but nothing is chosen by them.
"""

import time
from pathlib import Path

import numpy as np

from fastdl._history import can_plot
from fastdl.autograd import Tensor, no_grad
from fastdl.io import load
from fastdl.io.safetensors import load_file
from fastdl.metrics import confusion
from fastdl.models.lenet import LeNet5, loss
from fastdl.nn import functional as F
from fastdl.recipes import _digits
from fastdl.train import plot_confusion

BASELINES = {"logistic regression": 0.906, "nearest neighbour": 0.931}
EPOCHS = 12
BATCH = 32
RATE = 3e-3
WEIGHTS = Path(__file__).parent / "embedded" / "lenet.safetensors"  # come with fastdl: what run() writes by default


def run(
    out="runs/lenet", epochs: int | None = None, seed: int = 0, resume: bool = False, progress: bool = True
) -> dict:
    """Train, judge, write weights, history and picture to `out`.

    Returns {"metrics": {"test accuracy", "test loss"}, "baselines", "seconds" of this call, "files"}, and the two metrics
    once more as "test_accuracy" and "test_loss".
    resume: go on from the newest checkpoint in `out` (with the same epochs and seed).
    """
    began = time.perf_counter()
    trainer, judge, metrics, files = _digits.fit(
        "lenet",
        LeNet5,
        loss,
        out,
        EPOCHS if epochs is None else epochs,
        seed,
        resume,
        progress,
        lr=RATE,
        batch_size=BATCH,
    )
    if can_plot():
        scores, labels = trainer.predict(judge)
        files.append(Path(out, "confusion.png"))
        plot_confusion(confusion(scores.argmax(1), labels, 10), files[-1], title="LeNet-5, MNIST 5k")
    return {
        "metrics": metrics,
        "test_accuracy": metrics["test accuracy"],
        "test_loss": metrics["test loss"],
        "seconds": time.perf_counter() - began,
        "baselines": dict(BASELINES),
        "files": [str(file) for file in files],
    }


def predict(weights, image) -> tuple[int, list[float]]:
    """(digit, probabilities of the ten digits) for an image file (or an array, see prepare) and a file of weights."""
    model = LeNet5()
    try:
        model.load_state_dict(load_file(weights) if str(weights).endswith(".safetensors") else load(weights))
    except RuntimeError as error:
        raise ValueError(
            f"{weights} holds no weights of LeNet-5, which `fastdl train lenet` writes ({error})"
        ) from None
    model.eval()
    x = prepare(image if isinstance(image, np.ndarray) else read_image(image))  # (28, 28)
    with no_grad():
        probabilities = F.softmax(model(Tensor(x[None, None])), -1).array[0]
    return int(probabilities.argmax()), [float(p) for p in probabilities]


def read_image(path) -> np.ndarray:
    """Grey values (H, W) 0..255 of an image file, transparent parts white; .npy files need no Pillow."""
    path = Path(path)
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RuntimeError(
            f"reading {path} needs Pillow: pip install pillow (a .npy array (H, W) is read without)"
        ) from None
    try:
        with Image.open(path) as image:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            return np.asarray(Image.alpha_composite(paper, image).convert("L"))
    except (UnidentifiedImageError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path} is not an image that Pillow can read ({error})") from None


def prepare(image: np.ndarray) -> np.ndarray:
    """An image as MNIST has them: (28, 28) float32, a bright digit on black, in a 20x20 box, its mass in the centre.

    image (H, W), or (H, W, 3) in colour: numbers 0..255, or 0..1 if floating. Dark writing on a light ground is inverted.
    """
    x = np.asarray(image)
    if x.ndim == 3 and x.shape[2] in (3, 4):
        x = x[..., :3].mean(2)
    if x.ndim != 2 or 0 in x.shape or x.dtype.kind not in "uif":
        raise ValueError(f"expected a grey image (H, W) with numbers; got {x.dtype} of shape {x.shape}")
    x = x.astype(np.float64) / (1.0 if image.dtype.kind == "f" and x.max() <= 1 else 255.0)
    border = np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])
    if np.median(border) > 0.5:
        x = 1 - x
    if x.shape == (28, 28):
        return x.astype(np.float32)
    ink = x - np.median(np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]]))
    rows, columns = (np.flatnonzero((ink > 0.2).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("the image is empty: there is no writing that stands out from its ground")
    x = np.clip(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 0, 1)
    scale = 20 / max(x.shape)
    x = _area_resize(x, max(1, round(x.shape[0] * scale)), max(1, round(x.shape[1] * scale)))
    x /= max(x.max(), 1e-6)
    # Place it so that its centre of mass comes to the middle of the 28x28 field.
    total = x.sum()
    top = round(13.5 - (x.sum(1) * np.arange(x.shape[0])).sum() / total)
    left = round(13.5 - (x.sum(0) * np.arange(x.shape[1])).sum() / total)
    top, left = min(max(top, 0), 28 - x.shape[0]), min(max(left, 0), 28 - x.shape[1])
    field = np.zeros((28, 28), np.float32)
    field[top : top + x.shape[0], left : left + x.shape[1]] = x
    return field


def _area_resize(x, height, width):
    """Mean over the area of every new pixel (repeats pixels where it enlarges)."""
    for axis, size in ((0, height), (1, width)):
        old = x.shape[axis]
        edges = np.linspace(0, old, size + 1)
        total = np.insert(np.cumsum(x, axis), 0, 0, axis)  # integral along the axis, at whole numbers
        whole = np.minimum(edges.astype(int), old - 1)
        part = (edges - whole).reshape((-1, 1) if axis == 0 else (1, -1))
        integral = total.take(whole, axis) * (1 - part) + total.take(whole + 1, axis) * part
        x = np.diff(integral, axis=axis) * (size / old)
    return x
