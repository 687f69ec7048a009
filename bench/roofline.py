"""What the machine can do at most: FLOP/s of fused multiply-adds and bytes/s of memory, for each number of threads."""

import importlib.util
from pathlib import Path

from fastdl import threads

PASSES = ("read", "copy", "triad", "update")


def need_compiled():
    """RuntimeError where fastdl has no compiled kernels: a checkout that was not built would be measured on NumPy, unnoticed."""
    if importlib.util.find_spec("fastdl._native") is None:
        import fastdl

        raise RuntimeError(
            f"{Path(fastdl.__file__).parent} has no compiled kernels; this would measure NumPy's. "
            "Hint: pip install -e '.[bench]' in the checkout, or python setup.py build_ext --inplace"
        )


def measure(counts):
    """{threads: {"flops": FLOP/s, "read": bytes/s, "copy": ..., "triad": ..., "update": ...}}; the fastest of several passes.

    Bytes are all that moves: the lines that copy and triad write over without having read them are fetched first, and count.
    """
    need_compiled()
    from fastdl import _roofline

    before = threads.get_num_threads()
    limits = {}
    try:
        for n in counts:
            threads.set_num_threads(n)
            limits[n] = {"flops": _roofline.flops_per_second(n)}
            limits[n] |= {what: _roofline.bytes_per_second(what) for what in PASSES}
    finally:
        threads.set_num_threads(before)
    return limits


def share(limit, flops, moved, seconds):
    """Time that the machine's limits allow over the time it took; above 1 where an algorithm does fewer operations."""
    return max(flops / limit["flops"], moved / bandwidth(limit)) / seconds


def bandwidth(limit):
    """Bytes/s of the fastest pass."""
    return max(limit[what] for what in PASSES if what in limit)


def render(limits):
    lines = ["threads   FMA GFLOP/s   read GB/s   copy GB/s   triad GB/s   update GB/s"]
    for n, r in limits.items():
        rates = "".join(f" {r[what] / 1e9:>{width}.1f}" for what, width in zip(PASSES, (11, 11, 12, 13), strict=True))
        lines.append(f"{n:>7} {r['flops'] / 1e9:>13.1f}{rates}")
    if 1 in limits and 2 in limits and limits[2]["flops"] < 1.9 * limits[1]["flops"]:
        lines.append("warning: two threads have less than 1.9 times the FLOP/s of one; is the machine busy?")
    return "\n".join(lines)
