"""How many threads fastdl uses: as many as the process may, by affinity and cgroup quota; changed at any time.

Source of the quota files: Linux kernel documentation, cgroup-v2 "cpu.max" and cgroup-v1 "cpu.cfs_quota_us".
"""

import math
import os
from pathlib import Path

try:
    from fastdl import _native
except ImportError:  # no compiled kernels in this install
    _native = None

_without_native = 1


def _quota(root: Path, proc: Path) -> float:
    """CPUs that the control groups of this process grant (inf where there is no limit)."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return math.inf
    least = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, files = root, ("cpu.max",)
        elif "cpu" in controllers.split(","):
            folder, files = root / controllers, ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            if not folder.is_dir():
                folder = root / "cpu"
        else:
            continue
        group = folder / path.lstrip("/")
        # every ancestor limits too; inside a container the path of the host may not exist, its root does
        for level in (group, *group.parents):
            try:
                words = " ".join((level / f).read_text() for f in files).split()
                if words[0] not in ("max", "-1"):
                    least = min(least, int(words[0]) / int(words[1]))
            except (OSError, ValueError, IndexError, ZeroDivisionError):
                pass
            if level == folder:
                break
    return least


def available_cpus(root: str = "/sys/fs/cgroup", proc: str = "/proc/self/cgroup") -> int:
    """CPUs this process may use: the smaller of its affinity and its cgroup quota (rounded up), at least 1."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, _quota(Path(root), Path(proc)))))


def set_num_threads(n: int) -> None:
    """Threads for fastdl's kernels, and for NumPy's BLAS where threadpoolctl is installed. Takes effect at once."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: expected an integer of at least 1; got {n!r}")
    _set(n)
    try:
        import threadpoolctl
    except ImportError:
        return
    threadpoolctl.threadpool_limits(n, user_api="blas")


def get_num_threads() -> int:
    """Threads that fastdl's kernels use, the calling one included."""
    return _native.get_threads() if _native else _without_native


def _set(n):
    global _without_native
    _without_native = n
    if _native:
        _native.set_threads(n)


def _from_environment() -> int:
    value = os.environ.get("FASTDL_NUM_THREADS")
    if not value:
        return available_cpus()
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"FASTDL_NUM_THREADS={value!r} must be an integer of at least 1")
    return int(value)


_set(_from_environment())
