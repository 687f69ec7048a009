"""Published detectors as workloads: one image through Faster R-CNN (ResNet-50-FPN) beside torchvision's, and YOLO v1.

The weights are random, the same on both sides: 1,000 regions an image reach the head, and no detection is sure enough to come
out. torchvision has no YOLO: PyTorch's side is the same list of layers, written with its modules.
"""

from . import torchvision_cpu
from .workload import Workload
from .zoo import numbered

SIZE = (480, 640)  # of the image for Faster R-CNN, which is not resized


def infer_faster_rcnn(s, height, width):
    """Boxes of one image."""
    scale = {"min_size": min(height, width), "max_size": max(height, width)}
    if s.lib.__name__ == "torch":
        torchvision_cpu.load()
        from torchvision.models.detection import fasterrcnn_resnet50_fpn

        net = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, **scale)
    else:
        from fastdl.models import fasterrcnn_resnet50_fpn

        net = fasterrcnn_resnet50_fpn(trainable_norm=True, short=scale["min_size"], long=scale["max_size"])
    net = s.for_inference(numbered(s, net))
    image = [s.tensor(s.array(3, height, width, scale=0.2) + 0.5)]
    return {"fwd": lambda: [s.run_without_tape(lambda: net(image)[0]["boxes"])]}


def yolo_of_torch(s, layers, channels, size, S, outputs, hidden):
    """YOLO v1 with PyTorch's modules, under our names of parameters in our order."""
    nn, stages = s.nn, []
    for layer in layers:
        if layer == "pool":
            stages.append(nn.MaxPool2d(2, 2))
            continue
        width, kernel, stride = (*layer, 1)[:3]
        stages += [nn.Conv2d(channels, width, kernel, stride, kernel // 2), nn.LeakyReLU(0.1)]
        channels = width
    head = [nn.Flatten(), nn.Linear(channels * S * S, hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, S * S * outputs)]
    return nn.Sequential(*stages, *head)


def infer_yolo(s, **settings):
    """The tensor of cells of one image."""
    from fastdl.models.yolo import YOLOConfig, yolo_v1
    from fastdl.nn import init_empty

    c = YOLOConfig(**settings)
    if s.lib.__name__ == "torch":
        net = yolo_of_torch(s, c.layers, c.in_channels, c.size, c.S, 5 * c.B + c.C, c.hidden)
    else:
        with init_empty():
            net = yolo_v1(**settings)
    net = s.module(net)
    for p in net.parameters():  # in the order of the layers, which is the same
        fan = max(1.0, float(p.numel() / p.shape[0]))
        s.assign(p, s.array(*p.shape, scale=(2 / fan) ** 0.5 if len(p.shape) > 1 else 0.0))
    net = s.for_inference(net)
    x = s.tensor(s.array(1, c.in_channels, c.size, c.size))
    return {"fwd": lambda: [s.run_without_tape(lambda: net(x)).reshape(1, c.S, c.S, -1)]}


# multiply-adds of Faster R-CNN at 480 x 640: ResNet-50 25 G, pyramid 17 G, proposals 15 G, the head on 1,000 regions 14 G
WORKLOADS = [
    Workload(
        f"Faster R-CNN ResNet-50-FPN, one image of {SIZE[0]}x{SIZE[1]}", "detection", infer_faster_rcnn, SIZE, 2 * 71e9,
        4 * 41.8e6, 1, 1.0, needs="torchvision", rate=(1, "images"),
    ),
    Workload(
        "YOLO v1, one image of 448x448", "detection", infer_yolo, (), 2 * 20.3e9, 4 * 271.7e6, 1, 1.0, rate=(1, "images")
    ),
]  # fmt: skip
