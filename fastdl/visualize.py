"""Pictures of what a network has learned: filters, feature maps, receptive fields, attention. Needs matplotlib.

Every function draws on a new figure and returns it; `figure.savefig("name.png")` keeps it.
"""

import numpy as np

from fastdl import nn
from fastdl.autograd import Tensor, no_grad
from fastdl.receptive_field import gradient_map

__all__ = ["attention_map", "feature_maps", "filters", "receptive_field_map", "show_images"]


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("fastdl.visualize draws with matplotlib: pip install matplotlib") from None
    return plt


def _grid(count, columns, scale=1.0):
    """(figure, axes) with room for `count` small pictures."""
    plt = _pyplot()
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(scale * columns, scale * rows + 0.3), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes.flat


def _range(x):
    """x moved to 0..1 by its own extremes."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else np.zeros_like(x)


def show_images(images, titles=(), columns: int = 10, scale: float = 1.0):
    """A grid of images (N, C, H, W) or (N, H, W), grey or in colour, each between its own extremes."""
    images = images.detach().array if isinstance(images, Tensor) else np.asarray(images)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(f"show_images: expected images (N, 1 or 3, H, W) or (N, H, W); got shape {images.shape}")
    figure, axes = _grid(len(images), columns, scale)
    for i, (axis, image) in enumerate(zip(axes, images, strict=False)):
        shown = _range(image.astype(np.float64)).transpose(1, 2, 0)
        axis.imshow(shown[..., 0] if shown.shape[2] == 1 else shown, cmap="gray", vmin=0, vmax=1)
        if i < len(titles):
            axis.set_title(str(titles[i]), fontsize=8)
    figure.tight_layout(pad=0.3)
    return figure


def filters(layer, columns: int = 8, most: int = 32):
    """The filters of a Conv2d: in colour where it sees three channels, else the first channel of each.

    Errors  TypeError for anything but a Conv2d
    """
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"filters: expected a Conv2d; got {type(layer).__name__}")
    weight = layer.weight.detach().array[:most]
    return show_images(weight if weight.shape[1] == 3 else weight[:, :1], columns=columns)


def feature_maps(model, layer, image, columns: int = 8, most: int = 16):
    """What the layer of that name ("features.3") gives for one image (C, H, W): one small picture a channel.

    Errors  AttributeError for a name that the model has not, ValueError where the layer gives no maps (1, C, H, W)
    """
    x = image if isinstance(image, Tensor) else Tensor(np.asarray(image))
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output))
    was_training = model.training
    try:
        with no_grad():
            model.eval()(x if len(x.shape) == 4 else x.unsqueeze(0))
    finally:
        handle.remove()
        model.train(was_training)
    maps = seen[0].array if seen and isinstance(seen[0], Tensor) else np.zeros(0)
    if maps.ndim != 4:
        raise ValueError(f"feature_maps: {layer} gives no maps (1, C, H, W); got shape {maps.shape}")
    return show_images(maps[0, :most, None], columns=columns)


def receptive_field_map(model, shape):
    """How much each pixel of an image of shape (1, C, H, W) counts for the output in the middle; weights as they are."""
    figure, axes = _grid(1, 1, 3.0)
    seen = gradient_map(model, shape)
    next(iter(axes)).imshow(seen / max(seen.max(), 1e-12), cmap="magma")
    return figure


def attention_map(weights, sources, targets, columns: int = 2):
    """Where each target symbol (a row) looked among the source symbols (columns): one picture a head.

    Parameters  weights (heads, T, S) or (T, S), as a model's attention_maps gives them for one sentence; sources: S names;
                targets: T names, of what was written
    """
    weights = weights.detach().array if isinstance(weights, Tensor) else np.asarray(weights)
    heads = weights[None] if weights.ndim == 2 else weights
    if heads.ndim != 3 or heads.shape[1:] != (len(targets), len(sources)) or not heads.size:
        raise ValueError(
            f"attention_map: weights must have shape (heads, {len(targets)}, {len(sources)}) for as many targets and sources; "
            f"got {weights.shape}"
        )
    columns = min(columns, len(heads))
    rows = -(-len(heads) // columns)
    size = (0.27 * len(sources) + 1.2) * columns, (0.27 * len(targets) + 1.1) * rows
    figure, axes = _pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for i, axis in enumerate(axes.flat):
        if i >= len(heads):
            axis.set_axis_off()
            continue
        axis.imshow(heads[i], cmap="Greys", vmin=0, vmax=1)
        axis.set_xticks(range(len(sources)), sources, rotation=90 if max(map(len, sources)) > 1 else 0)
        axis.set_yticks(range(len(targets)), targets)
        if len(heads) > 1:
            axis.set_title(f"head {i + 1}", fontsize=9)
    return figure
