"""Layers beside PyTorch without PyTorch: what torch.nn gave for these layers, stored in embedded/torch_layers.npz.

Weights and inputs (numbers in [-2, 2)) come from a hash, fastdl.testing.hashed, so only results are stored: the output, and
the gradients of sum(output * p) by the input and by every parameter, p hashed too. Made with PyTorch 2.13 by

    python -m fastdl.gates.torch_layers fastdl/gates/embedded/torch_layers.npz
"""

import sys
from pathlib import Path

import numpy as np

from fastdl.testing import hashed, hashed_weights

STORED = Path(__file__).parent / "embedded" / "torch_layers.npz"

CASES = {  # name: (layer, shape of the input)
    "Linear": (lambda nn: nn.Linear(5, 3), (4, 5)),
    "Linear, no bias": (lambda nn: nn.Linear(5, 3, bias=False), (2, 3, 5)),
    "Conv1d": (lambda nn: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 11)),
    "Conv2d": (lambda nn: nn.Conv2d(3, 4, 3), (2, 3, 7, 6)),
    "Conv2d, stride and padding": (lambda nn: nn.Conv2d(3, 4, 5, stride=2, padding=2), (1, 3, 9, 8)),
    "Conv2d, dilated": (lambda nn: nn.Conv2d(2, 4, 3, padding=2, dilation=2, bias=False), (1, 2, 7, 7)),
    "Conv2d, grouped": (lambda nn: nn.Conv2d(4, 6, 3, padding=1, groups=2), (1, 4, 6, 6)),
    "Conv2d, depthwise": (lambda nn: nn.Conv2d(4, 4, 3, padding=1, groups=4), (1, 4, 6, 6)),
    "Conv2d, reflected": (lambda nn: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (1, 2, 6, 6)),
    "ConvTranspose1d": (lambda nn: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1), (2, 4, 5)),
    "ConvTranspose2d": (lambda nn: nn.ConvTranspose2d(3, 4, 4, 2, 1), (1, 3, 5, 4)),
    "ConvTranspose2d, grouped": (lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (1, 4, 4, 4)),
    "MaxPool2d": (lambda nn: nn.MaxPool2d(3, 2, 1), (2, 3, 8, 7)),
    "AvgPool2d": (lambda nn: nn.AvgPool2d(3, 2, 1), (2, 3, 8, 7)),
    "AvgPool2d, ceil": (lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (1, 3, 8, 8)),
    "AdaptiveAvgPool2d": (lambda nn: nn.AdaptiveAvgPool2d((3, 2)), (2, 3, 7, 5)),
    "AdaptiveMaxPool2d": (lambda nn: nn.AdaptiveMaxPool2d((3, 2)), (2, 3, 7, 5)),
    "BatchNorm1d": (lambda nn: nn.BatchNorm1d(5), (8, 5)),
    "BatchNorm2d": (lambda nn: nn.BatchNorm2d(3), (4, 3, 4, 4)),
    "BatchNorm2d, evaluation": (lambda nn: nn.BatchNorm2d(3).eval(), (2, 3, 4, 4)),
    "LayerNorm": (lambda nn: nn.LayerNorm(6), (4, 5, 6)),
    "GroupNorm": (lambda nn: nn.GroupNorm(2, 6), (2, 6, 3, 4)),
    "InstanceNorm2d": (lambda nn: nn.InstanceNorm2d(3, affine=True), (2, 3, 4, 4)),
    "RMSNorm": (lambda nn: nn.RMSNorm(6, eps=1e-5), (4, 6)),
    "LocalResponseNorm": (lambda nn: nn.LocalResponseNorm(3, 0.1, 0.75, 2.0), (1, 7, 3, 3)),
    "ReLU": (lambda nn: nn.ReLU(), (4, 6)),
    "LeakyReLU": (lambda nn: nn.LeakyReLU(), (4, 6)),
    "PReLU": (lambda nn: nn.PReLU(6), (4, 6)),
    "ELU": (lambda nn: nn.ELU(), (4, 6)),
    "SELU": (lambda nn: nn.SELU(), (4, 6)),
    "GELU": (lambda nn: nn.GELU(), (4, 6)),
    "GELU, tanh": (lambda nn: nn.GELU("tanh"), (4, 6)),
    "SiLU": (lambda nn: nn.SiLU(), (4, 6)),
    "Mish": (lambda nn: nn.Mish(), (4, 6)),
    "Hardswish": (lambda nn: nn.Hardswish(), (4, 6)),
    "Softplus": (lambda nn: nn.Softplus(), (4, 6)),
    "Sigmoid": (lambda nn: nn.Sigmoid(), (4, 6)),
    "Tanh": (lambda nn: nn.Tanh(), (4, 6)),
    "Softmax": (lambda nn: nn.Softmax(-1), (4, 6)),
    "LogSoftmax": (lambda nn: nn.LogSoftmax(-1), (4, 6)),
    "Upsample, bilinear": (lambda nn: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    "PixelShuffle": (lambda nn: nn.PixelShuffle(2), (1, 8, 3, 2)),
    "RNN": (lambda nn: nn.RNN(4, 5, batch_first=True), (2, 6, 4)),
    "LSTM": (lambda nn: nn.LSTM(4, 5, num_layers=2, batch_first=True), (2, 6, 4)),
    "LSTM, both directions": (lambda nn: nn.LSTM(4, 5, bidirectional=True, batch_first=True), (2, 6, 4)),
    "GRU": (lambda nn: nn.GRU(4, 5, num_layers=2, batch_first=True), (2, 6, 4)),
    "MultiheadAttention": (lambda nn: nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8)),
    "TransformerEncoderLayer": (
        lambda nn: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
        (2, 5, 8),
    ),
}


def numbers(module, x, tensor) -> dict:
    """{"output", "input", parameter names...: arrays}; `tensor` makes a tensor, of torch or of fastdl."""
    weights = hashed_weights({key: tuple(value.shape) for key, value in module.state_dict().items()})
    weights = {key: np.asarray(value) for key, value in weights.items()}
    module.load_state_dict({key: tensor(value) for key, value in weights.items()})
    x = tensor(x)
    x.requires_grad_()
    output = module(x, x, x) if type(module).__name__ == "MultiheadAttention" else module(x)
    output = output[0] if isinstance(output, tuple) else output
    (output * tensor(2 * hashed("projection", tuple(output.shape)))).sum().backward()
    result = {"output": output.detach(), "input": x.grad}
    result.update({name: p.grad for name, p in module.named_parameters()})
    return {name: np.array(value.numpy(), np.float32) for name, value in result.items()}


def largest_deviations(nn, tensor) -> dict:
    """{name of the case: largest |ours - stored| / max(1, largest |stored| of that array)}."""
    with np.load(STORED, allow_pickle=False) as stored:
        result = {}
        for case, (make, shape) in CASES.items():
            ours = numbers(make(nn), 2 * hashed(case, shape), tensor)
            wanted = {key.split("/", 1)[1]: stored[key] for key in stored.files if key.split("/", 1)[0] == case}
            if ours.keys() != wanted.keys():
                raise ValueError(f"{case}: has {sorted(ours)}, torch has {sorted(wanted)}")
            result[case] = max(
                float(np.abs(ours[k].astype(np.float64) - w).max() / max(1.0, np.abs(w).max()))
                for k, w in wanted.items()
            )
    return result


def make(file):
    """Compute the stored results with PyTorch."""
    import torch

    arrays = {}
    for case, (layer, shape) in CASES.items():
        found = numbers(layer(torch.nn), 2 * hashed(case, shape), lambda a: torch.tensor(np.array(a)))
        arrays.update({f"{case}/{name}": value for name, value in found.items()})
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fastdl.gates.torch_layers FILE")
    make(sys.argv[1])
