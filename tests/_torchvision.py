"""torchvision where its compiled operators may not load: the schemas that it looks up at import are declared first."""

import pytest


def load():
    """The module torchvision; skips the test where torch or torchvision is not installed."""
    torch = pytest.importorskip("torch")
    try:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        load.library = library  # the schemas live as long as this object
    except RuntimeError:  # declared before, or by the real operators
        pass
    return pytest.importorskip("torchvision")
