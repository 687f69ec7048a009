"""The published networks as workloads: torchvision's and Hugging Face's on PyTorch's side, fastdl.models' on the other.

Both sides hold the same numbers under the same names. Dropout is off, so that the losses can be compared.
"""

import numpy as np

from . import torchvision_cpu
from .workload import Workload

# torchvision's argument -> fastdl's, where a plain constructor call would not give the same network
SETTINGS = {
    "googlenet": {"torch": {"init_weights": False, "aux_logits": False}, "fastdl": {"aux_logits": False}},
    "alexnet": {},
}


def network(s, name):
    """The network `name` of this side, with the same parameters on both, without dropout."""
    if s.lib.__name__ == "torch":
        make, side = getattr(torchvision_cpu.load().models, name), "torch"
    else:
        from fastdl import models

        make, side = getattr(models, name), "fastdl"
    return numbered(s, make(**SETTINGS.get(name, {}).get(side, {})))


def numbered(s, net, unit=False):
    """The module with the same parameters on both sides: numbers drawn in the order of their names. Dropout is off.

    unit: of variance 1, for layers that scale them when they are used.
    """
    net = s.module(net)
    parameters = dict(net.named_parameters())  # one that has two names counts under its first
    for key in sorted(parameters):
        p = parameters[key]
        fan = max(1.0, float(np.prod(p.shape[1:])))
        if len(p.shape) > 1:
            s.assign(p, s.array(*p.shape, scale=1.0 if unit else 1 / fan**0.5))
        else:
            s.assign(p, np.full(tuple(p.shape), float(key.endswith("weight")), s.dtype))
    for module in net.modules():
        if type(module).__name__.startswith("Dropout"):
            module.p = 0.0
    return net


def train_image_net(s, name, batch, size=224):
    """One step of SGD with momentum on a batch of random images."""
    net = network(s, name)
    net.train()
    x, labels = s.tensor(s.array(batch, 3, size, size)), s.integers(1000, batch)
    optimizer = s.optim.SGD(net.parameters(), lr=1e-6, momentum=0.9, **s.fast("SGD"))
    return s.training(net, optimizer, lambda net: s.F.cross_entropy(net(x), labels))


def infer_image_net(s, name, size=224):
    """Scores of one image."""
    net = s.for_inference(network(s, name))
    x = s.tensor(s.array(1, 3, size, size))
    return {"fwd": lambda: [s.run_without_tape(lambda: net(x))]}


# name, batch of the training step, multiply-adds of one image at 224x224, parameters
IMAGE_NETS = [
    ("alexnet", 8, 714e6, 61.10e6),
    ("vgg16", 2, 15.47e9, 138.36e6),
    ("googlenet", 4, 1.498e9, 6.62e6),
    ("resnet18", 8, 1.814e9, 11.69e6),
    ("resnet50", 4, 4.089e9, 25.56e6),
    ("densenet121", 4, 2.834e9, 7.98e6),
    ("mobilenet_v2", 8, 301e6, 3.50e6),
    ("vit_b_16", 2, 17.56e9, 86.57e6),
]
RIVALS = {"ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}  # name: package
RIVAL_NETS = [("resnet50", 4.089e9, 25.56e6), ("densenet121", 2.834e9, 7.98e6), ("vgg19", 19.63e9, 143.67e6)]
RIVAL_NETS += [("mobilenet_v2", 301e6, 3.50e6)]


def _image_nets():
    for name, batch, macs, parameters in IMAGE_NETS:
        step = (f"{name} batch {batch}, training step", "zoo", train_image_net, (name, batch), 2 * batch * macs)
        yield Workload(*step, 20 * parameters, 3, None, 1.0, needs="torchvision")
        infer = (f"{name} batch 1, inference", "zoo", infer_image_net, (name,), 2 * macs, 4 * parameters, 1, 1.0)
        yield Workload(*infer, needs="torchvision")
    for rival, package in RIVALS.items():
        for name, macs, parameters in RIVAL_NETS:
            title = f"{name} batch 1, inference, beside {rival}"
            infer = (title, "rivals", infer_image_net, (name,), 2 * macs, 4 * parameters, 1, 1.0)
            yield Workload(*infer, needs=package, rival=package)


WORKLOADS = list(_image_nets())
