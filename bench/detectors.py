"""The course's story as a table: seconds an image and mAP of R-CNN, SPPNet, Fast R-CNN, Faster R-CNN and YOLO.

All five look at the same held-out scenes (digits on textures, 96 x 96) through the same stages of convolutions (16, 32, 64
channels; YOLO has one stage more, for its coarser grid), in images one by one. R-CNN, SPPNet and Fast R-CNN are given the same
boxes by selective search, whose time is a column of its own. Below it, the published Faster R-CNN and YOLO beside PyTorch's.

    python -m bench.detectors [--cache FOLDER] [--threads 2] [--pairs 3] [--out docs]

trains all five (some minutes, once where a cache keeps the weights), measures, tells whether the story holds (exit code 1 where it
does not) and writes benchmarks_detectors.json and .md.

Ref  Girshick et al. 2014; He et al. 2014; Girshick 2015; Ren et al. 2015; Redmon et al. 2016 (each faster than the one before).
"""

import argparse
import functools
import hashlib
import importlib.util
import inspect
import json
import sys
import time
from pathlib import Path

import numpy as np

import fastdl
from fastdl import _info, io
from fastdl.autograd import Tensor, no_grad
from fastdl.data import SceneMaker
from fastdl.gates import Claim
from fastdl.gates import lecture6_detection as gates
from fastdl.models import YOLOv1Loss, fasterrcnn_small, fastrcnn_small, rcnn_small, sppnet_small, yolo_small
from fastdl.recipes._regions import judge, propose
from fastdl.recipes._scenes import fit, judge_boxes, statistics, test_scenes

from . import pair, report
from .detection import WORKLOADS
from .roofline import need_compiled

GIVEN = ("R-CNN", "SPPNet", "Fast R-CNN")  # boxes by selective search


def train_yolo(seed, smoke):
    maker = gates._maker()
    net, loss = yolo_small(size=gates.SIZE), YOLOv1Loss(gates.SIZE // 8, 2, 10, gates.SIZE)
    epochs, scenes = (1, 60) if smoke else (5, 2000)
    fit(net, lambda m, x, s: loss(m(x), s.targets()), maker, statistics(maker, 100), epochs, scenes=scenes, seed=seed)
    return net


DETECTORS = {  # name: (how it is made, how it is trained, its detect(x, proposals), its first label)
    "R-CNN": (rcnn_small, gates._rcnn, lambda net: net.detect, 0),
    "SPPNet": (sppnet_small, gates._sppnet, lambda net: net.detect, 0),
    "Fast R-CNN": (fastrcnn_small, gates._fast, lambda net: net, 1),
    "Faster R-CNN": (fasterrcnn_small, lambda *a: gates._faster(*a)[1], lambda net: lambda x, _: net(x), 1),
    "YOLO": (functools.partial(yolo_small, size=gates.SIZE), train_yolo, lambda net: lambda x, _: net.detect(x), 0),
}


def trained(name, seed, smoke, cache=None):
    """The detector in eval mode: from the cache, where these sources have written it, or trained (and kept there)."""
    make, train, *_ = DETECTORS[name]
    sources = [
        gates,
        *(
            sys.modules[m]
            for m in (
                "fastdl.recipes._regions",
                "fastdl.recipes._scenes",
                inspect.getmodule(getattr(make, "func", make)).__name__,
            )
        ),
    ]
    version = hashlib.sha256(b"".join(Path(m.__file__).read_bytes() for m in sources)).hexdigest()[:12]
    file = cache and Path(cache, f"{name.replace(' ', '_')}-{seed}-{version}{'-smoke' * smoke}.safetensors")
    if file and file.exists():
        net = make()
        net.load_state_dict(io.load_file(file))
        return net.eval()
    fastdl.manual_seed(seed)
    net = train(seed, smoke)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        io.save_file({k: v.array for k, v in net.state_dict().items()}, file)
    return net.eval()


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


def story(args):
    """{"scenes", "boxes", "rows"}: mAP, seconds of the network and of the proposals of each detector."""
    maker = SceneMaker("digits", "train", gates.SIZE)
    stats, test = statistics(maker, 100), test_scenes(maker, 20 if args.smoke else 100)
    proposals = propose(test)
    few, boxes = test[: min(20, len(test))], proposals[:20]
    searches = []
    for _ in range(2):
        began = time.perf_counter()
        propose(few)
        searches.append((time.perf_counter() - began) / len(few))
    rows, thread_counts = [], sorted({1, fastdl.get_num_threads()})
    for name, (_, _, see, first) in DETECTORS.items():
        detect = see(trained(name, args.seed, args.smoke, args.cache))
        if name in GIVEN:
            score = judge(detect, test, stats, proposals, first)["map"]
        else:
            score = judge_boxes(lambda x, see=detect: see(x, None), test, stats, first)["map"]
        network = {}
        for threads in thread_counts:
            fastdl.set_num_threads(threads)
            network[threads] = seconds(detect, few, stats, boxes)
        search = min(searches) if name in GIVEN else 0.0
        rows.append({"model": name, "map": score, "network_seconds": network, "proposal_seconds": search})
        print(
            f"{name}: mAP {score:.3f}, " + ", ".join(f"{1e3 * s:.2f} ms with {t}" for t, s in network.items()),
            flush=True,
        )
    return {"scenes": len(test), "boxes": float(np.mean([len(p) for p in proposals])), "rows": rows}


def claims(rows):
    """The story: each step of the course is faster than the one before, and none is worse than it may be.

    Judged with one thread, whose time is the work to be done: the scenes are so small that one of them cannot keep two
    threads busy, while the 100 and more crops that R-CNN sees of it can.
    """
    by = {r["model"]: r for r in rows}
    network = {name: r["network_seconds"][1] for name, r in by.items()}
    whole = {name: network[name] + by[name]["proposal_seconds"] for name in by}
    score = {name: r["map"] for name, r in by.items()}
    speed = "'s seconds an image / "
    return [
        Claim(f"R-CNN{speed}SPPNet's, without proposals", network["R-CNN"] / network["SPPNet"], ">=", 3.5),
        Claim(f"R-CNN{speed}Fast R-CNN's, without proposals", network["R-CNN"] / network["Fast R-CNN"], ">=", 3.5),
        Claim(f"Fast R-CNN{speed}Faster R-CNN's, in all", whole["Fast R-CNN"] / whole["Faster R-CNN"], ">=", 2.0),
        Claim(f"Faster R-CNN{speed}YOLO's, in all", whole["Faster R-CNN"] / whole["YOLO"], ">=", 1.0),
        Claim("R-CNN's mAP less SPPNet's", score["R-CNN"] - score["SPPNet"], "<=", 0.08),
        Claim("the lowest mAP of the five", min(score.values()), ">=", 0.55),
    ]


def markdown(results):
    told, machine = results["story"], results["machine"]
    lines = [
        "# Detectors",
        "",
        "Written by `python -m bench.detectors`; do not edit.",
        "",
        f"{results['date']}, {machine['cpu']}, {machine['isa']}.",
        "",
        "## The course's story",
        "",
        f"{told['scenes']} held-out scenes of {gates.SIZE} x {gates.SIZE}, one at a time; {told['boxes']:.0f} boxes an image by",
        "selective search for the first three. Median over 20 scenes of the least of five runs. What must hold is judged with",
        "one thread.",
        "",
        "| detector | mAP@0.5 | threads | network, ms an image | proposals, ms | together, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for r in told["rows"]:
        b = 1e3 * r["proposal_seconds"]
        for threads, a in r["network_seconds"].items():
            lines.append(f"| {r['model']} | {r['map']:.3f} | {threads} | {1e3 * a:.2f} | {b:.1f} | {1e3 * a + b:.1f} |")
    lines += ["", *(f"- {'holds' if c.holds else 'FAILS'}: {c}" for c in claims(told["rows"])), ""]
    if results["published"]:
        lines += [
            "## Published networks", "",
            f"{machine['threads']} threads. Random weights, the same on both sides; 1,000 regions reach the head of Faster R-CNN.",
            "PyTorch's is torchvision's Faster R-CNN; YOLO is its layers in PyTorch's modules. Two pinned processes take turns",
            "(bench/pair.py).", "",
            "| network | fastdl, images/s | PyTorch, images/s | PyTorch's time / fastdl's |", "|---|---:|---:|---:|",
        ]  # fmt: skip
        for row in results["published"]:
            p = row["passes"]["fwd"]
            fast, torch = p["seconds"]["fastdl"], p["seconds"].get("torch")
            beside = f"{1 / torch:.2f} | {p['ratio']:.2f} ({p['interval'][0]:.2f} to {p['interval'][1]:.2f})"
            lines.append(f"| {row['workload']} | {1 / fast:.2f} | {beside if torch else '- | -'} |")
        lines.append("")
    return "\n".join(lines)


def published(threads, pairs):
    """Rows of bench/pair.py, without PyTorch where it (or torchvision) is missing."""
    rows = []
    for workload in WORKLOADS:
        able = importlib.util.find_spec("torch") and importlib.util.find_spec(workload.needs)
        row = pair.measure(workload, threads, pairs, ("torch", "fastdl") if able else ("fastdl",), errors=False)
        for c in report.cells(row, workload):
            print(f"{c['workload']}: {c['fastdl']} ms, PyTorch {c['torch']} ms, ratio {c['ratio']}", flush=True)
        rows.append(row)
    return rows


def main(arguments=None):
    options = argparse.ArgumentParser(prog="python -m bench.detectors", description=__doc__.split("\n")[0])
    options.add_argument("--smoke", action="store_true", help="train a little only, write nothing: to see that it runs")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--cache", metavar="FOLDER", help="where trained weights are kept, and taken from")
    options.add_argument("--threads", type=int, help="as many as there are CPUs, otherwise")
    options.add_argument("--pairs", type=int, default=3, help="turns of the published networks; 0 leaves them out")
    options.add_argument("--out", default="docs", metavar="FOLDER")
    args = options.parse_args(arguments)
    need_compiled()
    if args.threads:
        fastdl.set_num_threads(args.threads)
    threads = fastdl.get_num_threads()
    told = story(args)
    rows = published(threads, args.pairs) if args.pairs and not args.smoke else []
    machine = {"cpu": _info.cpu_name(), "isa": _info.collect()["isa"], "threads": threads}
    results = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "story": told, "published": rows}
    text = markdown(results)
    print("\n" + text)
    if args.smoke:
        return 0
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks_detectors.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "benchmarks_detectors.md").write_text(text)
    return 0 if all(c.holds for c in claims(told["rows"])) else 1


if __name__ == "__main__":
    sys.exit(main())
