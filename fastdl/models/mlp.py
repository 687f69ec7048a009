"""The multi-layer perceptron: affine maps with a non-linearity between, so that depth is more than one matrix.

    x (N, n0) -> Linear(n0, n1) [-> norm] -> act [-> dropout] -> ... -> Linear(n_{L-1}, n_L)

Ref  Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", 1986
     initial values: He et al. 2015 (kaiming, for ReLU), Glorot, Bengio 2010 (xavier, for tanh and sigmoid)
"""

from fastdl import nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    None: None,
}
NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, None: None}


class MLP(nn.Sequential):
    """A perceptron with layers of these sizes: x (N, ...) with sizes[0] numbers an item -> (N, sizes[-1]).

    sizes    of input, hidden layers and output; at least two
    act      relu, tanh, sigmoid, gelu, silu, elu, leaky_relu, softplus, or None: a linear network
    norm     batch or layer, before the non-linearity
    dropout  share of hidden activations that training leaves out
    init     kaiming or xavier (biases start at 0); None: as nn.Linear starts
    Parameters  0.weight, 0.bias, 2.weight, ...: the numbers count all members, as in nn.Sequential

    Example
    >>> sum(p.numel() for p in MLP([784, 256, 128, 10]).parameters())
    235146
    """

    def __init__(self, sizes, act: str | None = "relu", norm: str | None = None, dropout=0.0, init="kaiming"):
        sizes = [int(n) for n in sizes]
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"MLP: sizes needs at least an input and an output size, all positive; got {sizes}")
        for name, value, known in (("act", act, ACTIVATIONS), ("norm", norm, NORMS)):
            if value not in known:
                raise ValueError(f"MLP: {name} must be one of {', '.join(map(str, known))}; got {value!r}")
        if init not in ("kaiming", "xavier", None):
            raise ValueError(f"MLP: init must be kaiming, xavier or None; got {init!r}")
        members = []
        for i in range(len(sizes) - 1):
            members.append(nn.Linear(sizes[i], sizes[i + 1]))
            if i < len(sizes) - 2:
                members += [NORMS[norm](sizes[i + 1])] if norm else []
                members += [ACTIVATIONS[act]()] if act else []
                members += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*members)
        self.sizes = sizes
        for layer in (m for m in members if isinstance(m, nn.Linear)):
            if init == "kaiming":
                gain = "relu" if act == "relu" else "linear"
                nn.init.kaiming_uniform_(layer.weight, nonlinearity=gain)
            elif init == "xavier":
                nn.init.xavier_uniform_(layer.weight)
            if init:
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        if x.ndim != 2:
            x = x.flatten(1)
        if x.shape[1] != self.sizes[0]:
            raise ValueError(
                f"MLP: the first layer takes {self.sizes[0]} numbers an item, the input {tuple(x.shape)} has {x.shape[1]}"
            )
        return super().forward(x)


def mlp(**settings) -> MLP:
    """784-256-128-10 for MNIST unless settings say otherwise."""
    return MLP(**{"sizes": [784, 256, 128, 10], **settings})
