"""Dense layers as convolutions: the same numbers, and images of any size.

A dense layer over C maps of h x w is a convolution whose filters are h x w: (o, C h w) becomes (o, C, h, w). The dense layers
after it are 1x1 convolutions. On an image of the size it was trained for, the network then gives a 1x1 map of the scores
it gave before; on a larger one a map of scores, one for every position of the window.

Ref  Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015, section 3.1.
"""

from fastdl import nn
from fastdl.nn.init import init_empty


def convolutionalize(model, *, features=None, classifier=None, grid=None):
    """A Sequential(features, classifier) of convolutions with the weights of `model`; shares the features' memory.

    The parts are looked up in the model unless given: model.features (maps), model.classifier (a Sequential of dense layers
    and activations) and model.grid (height and width of the maps that the first dense layer saw). AlexNet, VGG and SimpleCNN
    have them. A pooling of the maps to `grid` (avgpool) is left out: at the trained size it changes nothing.

    Shapes      x (N, C, H, W) -> (N, classes, OH, OW)
    Errors      ValueError where a part is missing, or the sizes do not fit

    Example
    >>> from fastdl.models import SimpleCNN
    >>> from fastdl.ops.random import rand
    >>> net = convolutionalize(SimpleCNN(1, 10))
    >>> net(rand(1, 1, 64, 48)).shape
    (1, 10, 10, 6)
    """
    name = type(model).__name__
    parts = {"features": features, "classifier": classifier, "grid": grid}
    for part, value in parts.items():
        if value is None:
            parts[part] = getattr(model, part, None)
        if parts[part] is None or (part != "grid" and not isinstance(parts[part], nn.Module)):
            raise ValueError(
                f"convolutionalize: {name} has no module `{part}`; pass {part}=...".replace("module `grid`", "`grid`")
            )
    height, width = parts["grid"] if isinstance(parts["grid"], (tuple, list)) else (parts["grid"],) * 2
    layers, first = [], True
    for layer in parts["classifier"]:
        if isinstance(layer, nn.Linear):
            layers.append(_convolution(layer, (height, width) if first else (1, 1), name))
            first = False
        elif isinstance(layer, nn.Flatten):
            continue
        else:
            layers.append(layer)
    if first:
        raise ValueError(f"convolutionalize: the classifier of {name} has no Linear layer")
    return nn.Sequential({"features": parts["features"], "classifier": nn.Sequential(*layers)}).train(model.training)


def _convolution(linear, window, name):
    """The convolution with `window` filters that has the weights of a dense layer (C h w -> o)."""
    height, width = window
    channels, rest = divmod(linear.in_features, height * width)
    if rest:
        raise ValueError(
            f"convolutionalize: the dense layer of {name} takes {linear.in_features} numbers, "
            f"which are no maps of {height} x {width}"
        )
    with init_empty():
        convolution = nn.Conv2d(channels, linear.out_features, window, bias=linear.bias is not None)
    convolution.weight.array[...] = linear.weight.array.reshape(linear.out_features, channels, height, width)
    if linear.bias is not None:
        convolution.bias.array[...] = linear.bias.array
    return convolution
