"""The picture of a confusion matrix."""

import numpy as np


def plot_confusion(counts, path, labels=None, title="") -> None:
    """A PNG of a confusion matrix: counts (C, C), row = truth, column = prediction, as metrics.confusion gives it.

    Colour is the share of the row; the numbers are the counts (left out beyond 20 classes).
    """
    from matplotlib.figure import Figure

    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"plot_confusion: expected a square matrix of counts; got shape {counts.shape}")
    classes = len(counts)
    labels = list(range(classes)) if labels is None else list(labels)
    if len(labels) != classes:
        raise ValueError(f"plot_confusion: {classes} classes and {len(labels)} labels")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(3 + 0.4 * classes, 12)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if classes <= 20:
        for i, j in np.ndindex(*counts.shape):
            if counts[i, j]:
                colour = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(classes), labels, rotation=90 if max(len(str(l)) for l in labels) > 2 else 0)
        axes.set_yticks(range(classes), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{title}  {right:.2%} right".strip())
    figure.savefig(path, dpi=120)
