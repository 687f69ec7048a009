"""The course's story as a table: seconds an image and mAP of R-CNN, SPPNet, Fast R-CNN, Faster R-CNN and YOLO.

All five look at the same held-out scenes (digits on textures, 96 x 96) through the same stages of convolutions (16, 32, 64
channels; YOLO has one stage more, for its coarser grid), in images one by one. R-CNN, SPPNet and Fast R-CNN are given the same
boxes by selective search, whose time is a column of its own.

    python bench/detectors.py [--smoke] [--out FOLDER]     trains all five (some minutes), measures, writes detectors.json and .md

Ref  Girshick et al. 2014; He et al. 2014; Girshick 2015; Ren et al. 2015; Redmon et al. 2016 (each faster than the one before).
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import fastdl
from fastdl.autograd import Tensor, no_grad
from fastdl.data import SceneMaker
from fastdl.gates import lecture6_detection as gates
from fastdl.models import YOLOv1Loss, yolo_small
from fastdl.recipes._regions import judge, propose
from fastdl.recipes._scenes import fit, judge_boxes

from .roofline import need_compiled


def train(seed, smoke):
    """({name: detect(x, proposals)}, statistics of the inputs, first label of each)."""
    fastdl.manual_seed(seed)
    stats, *_ = gates._proposed(seed, smoke)
    rcnn, spp, fast = gates._rcnn(seed, smoke), gates._sppnet(seed, smoke), gates._fast(seed, smoke)
    _, faster, _ = gates._faster(seed, smoke)
    yolo, loss = yolo_small(size=gates.SIZE), YOLOv1Loss(gates.SIZE // 8, 2, 10, gates.SIZE)
    maker = SceneMaker("digits", "train", gates.SIZE)
    epochs, scenes = (1, 60) if smoke else (5, 2000)
    fit(yolo, lambda m, x, s: loss(m(x), s.targets()), maker, stats, epochs, scenes=scenes, seed=seed)
    for net in (rcnn, spp, fast, faster, yolo):
        net.eval()
    return {
        "R-CNN": (rcnn.detect, 0), "SPPNet": (spp.detect, 0), "Fast R-CNN": (fast, 1), "Faster R-CNN": (lambda x, p: faster(x), 1),
        "YOLO": (lambda x, p: yolo.detect(x), 0),
    }, stats  # fmt: skip


def seconds(detect, scenes, stats, proposals, repeats=5):
    """Median over the scenes of the least wall-clock seconds of some runs, an image at a time."""
    least = np.full((repeats, len(scenes)), np.inf)
    with no_grad():
        for k in range(len(scenes)):
            x = Tensor(scenes[k : k + 1].inputs(*stats))
            for r in range(repeats):
                began = time.perf_counter()
                detect(x, proposals[k : k + 1])
                least[r, k] = time.perf_counter() - began
    return float(np.median(least.min(0)))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--smoke", action="store_true", help="train a little only: to see that it runs")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", default="docs", metavar="FOLDER")
    args = options.parse_args()
    need_compiled()
    networks, stats = train(args.seed, args.smoke)
    *_, test, proposals = gates._proposed(args.seed, args.smoke)
    few = test[: min(20, len(test))]
    began = time.perf_counter()
    propose(few)
    search = (time.perf_counter() - began) / len(few)
    rows = []
    for name, (detect, first) in networks.items():
        given = name in ("R-CNN", "SPPNet", "Fast R-CNN")
        if given:
            score = judge(detect, test, stats, proposals, first)["map"]
        else:
            score = judge_boxes(lambda x, see=detect: see(x, None), test, stats, first)["map"]
        alone = seconds(detect, few, stats, proposals)
        rows.append(
            {"model": name, "map": score, "network_seconds": alone, "proposal_seconds": search if given else 0.0}
        )
    report = {
        "threads": fastdl.get_num_threads(),
        "scenes": len(test),
        "boxes": float(np.mean([len(p) for p in proposals])),
        "rows": rows,
    }
    lines = ["| detector | mAP@0.5 | network, ms an image | proposals, ms | together, ms |", "|---|---|---|---|---|"]
    for r in rows:
        a, b = 1e3 * r["network_seconds"], 1e3 * r["proposal_seconds"]
        lines.append(f"| {r['model']} | {r['map']:.3f} | {a:.2f} | {b:.1f} | {a + b:.1f} |")
    about = f"{report['scenes']} held-out scenes of 96 x 96, {report['boxes']:.0f} boxes an image, {report['threads']} threads."
    print("\n".join(lines), about, sep="\n\n")
    if not args.smoke:
        out = Path(args.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "detectors.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "detectors.md").write_text("\n".join(["# Five detectors", "", about, "", *lines, ""]))


if __name__ == "__main__":
    main()
