"""The same workloads under pytest-benchmark, fastdl's side alone: for a history of one's own machine.

    python -m pytest bench/bench_workloads.py --benchmark-autosave
    python -m pytest bench/bench_workloads.py -k "conv and forward" --benchmark-compare

The comparison with PyTorch is `python -m bench kernels`: pytest-benchmark times one side after the other, which on a shared
machine says little about their ratio.
"""

import pytest

from bench.sides import SIDES
from bench.workloads import WORKLOADS
from fastdl import threads

PASSES = {"fwd": "forward", "both": "forward and backward"}


@pytest.mark.parametrize("name", PASSES, ids=PASSES.values())
@pytest.mark.parametrize("count", sorted({1, threads.available_cpus()}), ids=lambda n: f"{n} threads")
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_workload(benchmark, workload, count, name):
    side = SIDES["fastdl"]()
    side.set_threads(count)
    call = workload.make(side).get(name)
    if call is None:
        pytest.skip("this workload has no such pass")
    benchmark.group = f"{workload.name}, {PASSES[name]}"
    benchmark(call)
