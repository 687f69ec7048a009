"""The published networks as workloads: torchvision's and Hugging Face's on PyTorch's side, fastdl.models' on the other.

Both sides hold the same numbers under the same names. Dropout is off, so that the losses can be compared.
"""

import numpy as np


def torchvision_models():
    """torchvision's models; where the wheel's C operators do not load, the names it registers fakes for are declared first."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        declared = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision_models.keep = declared
        import torchvision
    return torchvision.models


# torchvision's argument -> fastdl's, where a plain constructor call would not give the same network
SETTINGS = {
    "googlenet": {"torch": {"init_weights": False, "aux_logits": False}, "fastdl": {"aux_logits": False}},
    "alexnet": {},
}


def network(s, name):
    """The network `name` of this side, with the same parameters on both, without dropout."""
    if s.lib.__name__ == "torch":
        make, side = getattr(torchvision_models(), name), "torch"
    else:
        from fastdl import models

        make, side = getattr(models, name), "fastdl"
    net = s.module(make(**SETTINGS.get(name, {}).get(side, {})))
    values = {key: s.array(*p.shape) for key, p in sorted(net.named_parameters())}
    for key, p in net.named_parameters():
        fan = max(1.0, float(np.prod(p.shape[1:])))
        a = (
            values[key] * np.float32(1 / fan**0.5)
            if len(p.shape) > 1
            else np.ones_like(values[key]) * ("weight" in key)
        )
        s.assign(p, np.asarray(a, s.dtype))
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
