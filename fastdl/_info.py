"""What `fastdl info` says about the machine and the install: collect() gathers it, render() prints it."""

import math
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from fastdl import __version__, kernels, threads

try:
    from fastdl import _native
except ImportError:
    _native = None

OPTIONAL = ("numba", "threadpoolctl", "tqdm", "matplotlib", "pillow", "safetensors", "torch")
VARIABLES = ("FASTDL_BACKEND", "FASTDL_ISA", "FASTDL_NUM_THREADS", "FASTDL_STRICT")
NO_KERNELS = (
    "NONE: no C compiler was found when fastdl was installed, so everything runs on NumPy, many times slower. "
    "Install a compiler (gcc or clang), then: pip install --force-reinstall --no-cache-dir --no-deps fastdl-cpu"
)


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def caches() -> dict[str, str]:
    """{"L1d": "32K", ...} of the first CPU, where the system tells."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / f).read_text().strip() for f in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = size
    return found


def blas() -> list[str]:
    """The BLAS that NumPy has loaded and its threads; what it was built with where threadpoolctl is missing."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        built = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        return [f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()]
    return [
        f"{p['internal_api']} {p['version']} ({p.get('architecture', '?')}, {p['num_threads']} threads)"
        for p in threadpool_info()
        if p["user_api"] == "blas"
    ]


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def collect() -> dict:
    """Everything as plain values, ready for JSON."""
    quota = threads._quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    return {
        "fastdl": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "caches": caches(),
        "compiled": _native is not None,
        "isa": _native.isa if _native else None,
        "isas": _native.isas() if _native else [],
        "threads": threads.get_num_threads(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "quota": None if math.isinf(quota) else quota,
        "environment": {v: os.environ[v] for v in VARIABLES if v in os.environ},
        "numpy": np.__version__,
        "blas": blas(),
        "optional": {name: installed(name) for name in OPTIONAL},
        "kernels": [list(row) for row in kernels.table()],
        "backend": kernels.backend(),
        "location": str(Path(__file__).parent),
    }


def bold(text: str) -> str:
    """Bold on a terminal, unless NO_COLOR (no-color.org) or TERM=dumb asks for plain text."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return text if plain else f"\033[1m{text}\033[0m"


def render(info: dict) -> str:
    isa = f"{info['isa']} (this machine can run: {', '.join(info['isas'])})" if info["compiled"] else "none"
    quota = "no cgroup quota" if info["quota"] is None else f"cgroup quota {info['quota']:g} CPUs"
    affinity = "" if info["affinity"] is None else f"affinity {info['affinity']} CPUs, "
    rows = {
        "fastdl": f"{info['fastdl']} in {info['location']}",
        "python": f"{info['python']} on {info['platform']}",
        "cpu": f"{info['cpu']}, {info['cpus']} CPUs"
        + "".join(f", {level} {size}" for level, size in info["caches"].items()),
        "kernels": "compiled" if info["compiled"] else NO_KERNELS,
        "isa": isa,
        "threads": f"{info['threads']} ({affinity}{quota})",
        "environment": " ".join(f"{k}={v}" for k, v in info["environment"].items()) or "no FASTDL_* variable is set",
        "numpy": f"{info['numpy']}, {'; '.join(info['blas']) or 'BLAS unknown'}",
        "optional": ", ".join(f"{k} {v or '-'}" for k, v in info["optional"].items()),
    }
    lines = [f"{bold(f'{name:<12}')} {text}" for name, text in rows.items()]
    return "\n".join([*lines, "", repr(kernels.table()), "[yes] is the rung in use"])
