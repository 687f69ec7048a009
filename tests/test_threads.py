"""Threads: how many, changed at any time, fork while kernels run, nothing started by the import."""

import math
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fastdl import kernels, threads
from fastdl.kernels.matmul import matmul_forward

_native = pytest.importorskip("fastdl._native", reason="no compiled kernels in this install")


@pytest.fixture(autouse=True)
def restore_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def product(n=256):
    x = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    with kernels.use("cython"):
        return matmul_forward(x, x)


# --- how many ---------------------------------------------------------------------------------------------------------
def cgroup(folder, files, lines):
    """A control-group file system and the /proc/self/cgroup that points into it."""
    for name, text in files.items():
        file = folder / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "cgroup").mkdir(exist_ok=True)
    proc = folder / "proc"
    proc.write_text("\n".join(lines) + "\n")
    return {"root": str(folder / "cgroup"), "proc": str(proc)}


QUOTAS = {
    "v2, 1.5 CPUs round up": ({"job/cpu.max": "150000 100000"}, ["0::/job"], 2),
    "v2, no limit": ({"job/cpu.max": "max 100000"}, ["0::/job"], 64),
    "v2, a parent limits": ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, ["0::/a/b"], 3),
    "v2, the host's path inside a container": ({"cpu.max": "50000 100000"}, ["0::/host/only"], 1),
    "v1": (
        {"cpu,cpuacct/box/cpu.cfs_quota_us": "400000", "cpu,cpuacct/box/cpu.cfs_period_us": "100000"},
        ["11:memory:/box", "4:cpu,cpuacct:/box"],
        4,
    ),
    "v1, no limit": ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, ["4:cpu:/"], 64),
    "v1, mounted as cpu": (
        {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
        ["4:cpu,cpuacct:/"],
        3,
    ),
    "nonsense in the file": ({"cpu.max": "lots"}, ["0::/"], 64),
    "no file": ({}, ["0::/"], 64),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_quota_of_the_control_group(name, tmp_path, monkeypatch):
    files, lines, want = QUOTAS[name]
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert threads.available_cpus(**cgroup(tmp_path, files, lines)) == want


def test_affinity_is_respected_when_it_is_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5}, raising=False)
    assert threads.available_cpus(**cgroup(tmp_path, {"cpu.max": "800000 100000"}, ["0::/"])) == 1


def test_no_proc_file_means_no_quota(tmp_path):
    assert math.isinf(threads._quota(tmp_path, tmp_path / "missing"))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity calls")
def test_a_pinned_process_uses_one_thread():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nfrom fastdl import threads\n"
    done = python(code + "print(threads.get_num_threads())", without="FASTDL_NUM_THREADS")
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, None])
def test_set_num_threads_refuses(bad):
    with pytest.raises(ValueError, match="integer of at least 1"):
        threads.set_num_threads(bad)


def test_environment_variable_sets_the_number():
    done = python("from fastdl import threads; print(threads.get_num_threads())", FASTDL_NUM_THREADS="7")
    assert done.stdout.strip() == "7", done.stderr


def python(code, without="", **environment):
    env = {k: v for k, v in os.environ.items() if k != without} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


# --- live -------------------------------------------------------------------------------------------------------------
def test_import_starts_no_thread_and_prints_nothing():
    code = (
        "import os, sys, numpy\n"
        "tasks = lambda: len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 0\n"
        "before = tasks()\n"
        "import fastdl, fastdl.kernels, fastdl.threads\n"
        "from fastdl import _native\n"
        "assert tasks() == before, (tasks(), before)\n"
        "assert _native.started_threads() == 0\n"
        "heavy = {'numba', 'torch', 'matplotlib', 'tqdm', 'scipy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""


def test_set_num_threads_works_at_any_time():
    started = _native.started_threads()
    want = product().tobytes()
    for n in (1, 4, 2, 6, 1, 3):
        threads.set_num_threads(n)
        assert threads.get_num_threads() == n
        assert product().tobytes() == want
        assert _native.started_threads() >= n - 1
    assert _native.started_threads() == max(started, 5)  # workers beyond the present number sleep


def test_set_num_threads_governs_the_blas_of_numpy():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    for n in (1, 2):
        threads.set_num_threads(n)
        pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
        assert pools and all(p["num_threads"] == n for p in pools)


def test_many_python_threads_may_call_kernels_at_once():
    threads.set_num_threads(3)
    want = product().tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if product().tobytes() != want:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(120)
    assert not wrong and not any(w.is_alive() for w in workers)


# --- fork -------------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_fifty_forks_while_kernels_run():
    """Each child computes with threads of its own and leaves; none hangs, all get the same bits."""
    threads.set_num_threads(2)
    want = product().tobytes()
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            product()

    worker = threading.Thread(target=busy, daemon=True)
    worker.start()
    try:
        for _ in range(50):
            child = os.fork()
            if child == 0:
                ok = False
                try:
                    ok = product().tobytes() == want and _native.started_threads() == 1
                finally:
                    os._exit(0 if ok else 3)
            assert wait(child, 30) == 0
    finally:
        stop.set()
        worker.join(30)


def wait(child, seconds):
    """Exit code of a child; it is killed, and the test fails, when it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"a forked child was still running after {seconds} s")
