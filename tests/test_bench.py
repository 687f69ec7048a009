"""The benchmark itself: the turns, the statistics, the table, and that both sides compute the same thing."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

try:
    bench = importlib.import_module("fastdl._bench")
except ModuleNotFoundError:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    bench = importlib.import_module("bench")
pair, report, roofline, sides, workloads = (
    importlib.import_module(f"{bench.__name__}.{name}") for name in ("pair", "report", "roofline", "sides", "workloads")
)
main = importlib.import_module(f"{bench.__name__}.main")

TINY = [
    (workloads.matmul, (5, 7, 3), {}),
    (workloads.conv, (2, 3, 9, 8, 4, 3, 2, 1), {}),
    (workloads.conv, (1, 4, 6, 6, 4, 3, 1, 1), {"groups": 4}),
    (workloads.deconv, (2, 3, 4, 4, 5, 4, 2, 1), {}),
    (workloads.attention, (2, 2, 5, 4, True), {}),
    (workloads.recurrent, ("LSTM", 2, 5, 3, 4, 4), {}),
    (workloads.recurrent, ("GRU", 2, 5, 3, 4, 3), {}),
    (workloads.batch_norm_relu, (3, 4, 5, 5), {}),
    (workloads.layer_norm, (6, 10), {}),
    (workloads.cross_entropy, (6, 10), {}),
    (workloads.adam, (2, 50), {}),
    (workloads.mlp, (4, False), {}),
    (workloads.mlp, (4, True), {}),
    (workloads.lenet, (4,), {}),
    (workloads.gpt, (2, 6, 2, 8, 2, 11), {}),
]


def test_both_sides_run_the_same_published_detectors():
    pytest.importorskip("torch")
    detection = importlib.import_module(f"{bench.__name__}.detection")
    small = {"S": 2, "B": 1, "C": 3, "size": 32, "layers": ((4, 3, 2), "pool", (6, 1), "pool", (8, 3, 2)), "hidden": 10}
    results = []
    for side_class in (sides.Torch, sides.Fastdl):
        side = side_class()
        results.append(side.numpy(detection.infer_yolo(side, **small)["fwd"]()[0]))
    assert results[0].shape == (1, 2, 2, 8)
    np.testing.assert_allclose(results[1], results[0], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("build, sizes, options", TINY, ids=lambda v: getattr(v, "__name__", None))
def test_both_sides_compute_the_same(build, sizes, options):
    pytest.importorskip("torch")
    results = []
    for side_class in (sides.Torch, sides.Fastdl):
        side = side_class()
        calls = build(side, *sizes, **options)
        results.append({name: [side.numpy(t) for t in call()] for name, call in calls.items()})
    torch, fastdl = results
    assert torch.keys() == fastdl.keys()
    for name in torch:
        for t, f in zip(torch[name], fastdl[name], strict=True):
            np.testing.assert_allclose(f, t, rtol=2e-4, atol=2e-5, err_msg=name)


class Clockwork:
    """A worker whose calls take a known time."""

    def __init__(self, side, seconds, log, preempted=()):
        self.side, self.seconds, self.log, self.preempted = side, seconds, log, list(preempted)

    def ask(self, **command):
        self.log.append(self.side)
        busy = self.preempted.pop(0) if self.preempted else 0
        return {"seconds": self.seconds, "least": self.seconds * 0.9, "preempted": busy}


def test_turns_go_abba(monkeypatch):
    monkeypatch.setattr(pair, "PAUSE", 0)
    log = []
    result = pair.take_turns([Clockwork("torch", 0.3, log), Clockwork("fastdl", 0.1, log)], "fwd", 4)
    a, b = "torch", "fastdl"
    assert log == [a, b, b, a, a, b, b, a]
    assert result["ratio"] == pytest.approx(3) and result["interval"] == pytest.approx([3, 3])
    assert result["least"][b] == pytest.approx(0.09)


def test_preempted_turns_are_repeated_and_counted(monkeypatch):
    monkeypatch.setattr(pair, "PAUSE", 0)
    log = []
    worker = Clockwork("fastdl", 0.1, log, preempted=[1, 0, 2, 2, 2])
    result = pair.take_turns([worker], "fwd", 2)
    assert log == ["fastdl"] * 5  # one repeat, then two repeats that did not help
    assert result["preempted_turns"] == {"fastdl": 1} and "ratio" not in result


def test_interval_covers_the_true_ratio():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(40):
        fastdl = rng.lognormal(0, 0.1, 25)
        ratio, (low, high) = pair.ratio_and_interval(1.5 * rng.lognormal(0, 0.1, 25), fastdl, rounds=400)
        assert low <= ratio <= high
        covered += low <= 1.5 <= high
    assert covered >= 32


def test_more_threads_than_cpus_is_refused():
    with pytest.raises(ValueError, match="10000 threads"):
        pair.cpus_for(10000)


def test_share_of_the_roofline():
    limit = {"flops": 100e9, "read": 20e9, "copy": 10e9, "triad": 15e9}
    assert roofline.share(limit, 50e9, 1, 1.0) == pytest.approx(0.5)
    assert roofline.share(limit, 1, 5e9, 0.5) == pytest.approx(0.5)
    assert roofline.share({**limit, "update": 40e9}, 1, 5e9, 0.5) == pytest.approx(0.25)


def test_workloads_are_well_formed():
    names = [w.name for w in workloads.WORKLOADS]
    assert len(set(names)) == len(names)
    for w in workloads.WORKLOADS:
        assert (
            w.flops > 0
            and w.bytes > 0
            and w.group in ("kernels", "models", "zoo", "sequences", "generative", "detection", "rivals")
        )
        assert w.bar_fwd or w.bar_both, f"{w.name} has nothing to reach"


def row(ratio):
    seconds = {"fastdl": 0.01, "torch": 0.01 * ratio}
    fwd = {"seconds": seconds, "ratio": ratio, "interval": [ratio, ratio], "preempted_turns": {"fastdl": 3, "torch": 0}}
    fwd["error"] = {"fastdl": 2e-7, "torch": 1e-7}
    limit = {"flops": 1e11, "read": 2e10, "copy": 1e10, "triad": 1e10}
    return {"workload": "matmul 1024x1024x1024", "threads": 1, "passes": {"fwd": fwd}, "limit": limit}


def test_report_keeps_rows_of_earlier_runs_and_says_what_is_not_met(tmp_path):
    machine = {"cpu": "a CPU", "isa": "avx2", "versions": ["fastdl 0"]}
    limits = {1: row(1)["limit"]}
    report.save(tmp_path, [row(1.2)], limits, machine)
    other = row(0.9) | {"workload": "matmul 256x256x256"}
    report.save(tmp_path, [other], limits, machine)
    text = (tmp_path / "benchmarks.md").read_text()
    (first,) = [line for line in text.splitlines() if line.startswith("| matmul 1024")]
    (second,) = [line for line in text.splitlines() if line.startswith("| matmul 256")]
    assert "1.20" in first and "| yes |" in first and "2.0e-07" in first and first.endswith("| 3 |")
    assert "0.90" in second and "| no |" in second
    assert text.index("matmul 256x") < text.index("matmul 1024x")
    assert (
        "2 ratios, geometric mean **1.04**; 1 of 2 reach" in text and "lowest is 0.90 (matmul 256x256x256, fwd)" in text
    )


def test_report_shows_memory_and_draws_pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    measured = row(1.2) | {"memory": {"fastdl": 3 * 2**20, "torch": 5 * 2**20}}
    report.save(tmp_path, [measured], {1: measured["limit"]}, {"cpu": "a CPU", "isa": "avx2", "versions": []})
    assert "| matmul 1024x1024x1024 | 1 | 3 | 5 |" in (tmp_path / "benchmarks.md").read_text()
    for name in ("roofline.png", "ratios.png"):
        colours = image.open(tmp_path / name).convert("RGB").getcolors(2**24)
        assert {(0x1B, 0x6C, 0xA8)} <= {colour for _, colour in colours}, f"{name} shows nothing of fastdl"


def test_one_workload_from_start_to_end():
    """Without PyTorch: the process starts, takes turns, and its error against float64 is that of float32."""
    workload = next(w for w in workloads.WORKLOADS if w.name == "matmul 256x256x256")
    got = pair.measure(workload, 1, 2, sides=("fastdl",), rungs=("numpy",))
    fwd = got["passes"]["fwd"]
    assert fwd["seconds"]["fastdl"] > 0 and 0 < fwd["error"]["fastdl"] < 1e-5
    assert "fastdl" in got["versions"]["fastdl"] and got["rungs"]["numpy"]["fwd"] > 0


def test_a_worker_that_dies_is_an_error_that_names_it():
    workload = workloads.Workload("no such workload", "kernels", None, (), 1, 1)
    with pytest.raises(RuntimeError, match="the fastdl process ended"):
        pair.measure(workload, 1, 1, sides=("fastdl",))
