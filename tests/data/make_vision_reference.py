"""Writes vision_reference.json: what torchvision's networks of lecture 6 say with the weights of fastdl.testing.hashed_weights.

Run by hand, with torch and torchvision installed: python tests/data/make_vision_reference.py
"""

import json
import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from _torchvision import load  # noqa: E402

from fastdl.testing import hashed, hashed_weights, keys_hash  # noqa: E402

load()
from torchvision.models import detection, segmentation  # noqa: E402


def filled(net):
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    net.load_state_dict({k: torch.tensor(v) for k, v in hashed_weights(shapes).items()})
    return net.eval()


def numbers(t):
    return [float(f"{v:.7g}") for v in t.reshape(-1).tolist()]


out = {}
with torch.no_grad():
    for name in ("fcn_resnet50", "fcn_resnet101"):
        net = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
        out[name] = {"keys": keys_hash(net.state_dict())}
        if name == "fcn_resnet50":
            got = filled(net)(torch.tensor(hashed("x", (1, 3, 64, 64))))
            out[name] |= {k: numbers(v[0, ::5, ::16, ::16]) for k, v in got.items()}
    net = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    entry = {"keys": keys_hash(net.state_dict())}
    filled(net)
    maps = list(net.backbone(torch.tensor(hashed("x", (1, 3, 64, 96)))).values())
    logits, offsets = net.rpn.head(maps)
    entry["maps"] = [numbers(m[0, ::64, ::2, ::3]) for m in maps]
    entry["logits"] = [numbers(m[0, :, ::2, ::3]) for m in logits]
    entry["offsets"] = [numbers(m[0, ::5, ::2, ::3]) for m in offsets]
    pooled = torch.tensor(hashed("pooled", (2, 256, 7, 7)))
    scores, boxes = net.roi_heads.box_predictor(net.roi_heads.box_head(pooled))
    entry["scores"], entry["boxes"] = numbers(scores[:, ::7]), numbers(boxes[:, ::31])
    out["fasterrcnn_resnet50_fpn"] = entry
Path(__file__).with_name("vision_reference.json").write_text(json.dumps(out) + "\n")
