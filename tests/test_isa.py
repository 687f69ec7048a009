"""Every kernel on every ISA tier of this machine. The tier is chosen at start-up, so each has its own process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_native = pytest.importorskip("fastdl._native", reason="no compiled kernels in this install")


# Two processes a tier, so that the workers of pytest -n share them.
SIZES = {"small": "cython and not large", "large": "threads or large or simd_math"}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("isa", _native.isas()[:-1])  # the best tier is what test_kernels.py itself runs on
def test_kernels_on_this_tier(isa, sizes):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", SIZES[sizes]]
        + [str(Path(__file__).with_name(name)) for name in ("test_kernels.py", "test_simd_math.py")],
        env={**os.environ, "FASTDL_ISA": isa, "FASTDL_STRICT": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout, done.stdout


@pytest.mark.parametrize("isa", _native.isas())
def test_the_forced_tier_is_the_one_in_use(isa):
    done = subprocess.run(
        [sys.executable, "-c", "from fastdl import _native; print(_native.isa)"],
        env={**os.environ, "FASTDL_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == isa, done.stderr


def test_a_tier_that_cannot_run_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", "import fastdl._native"],
        env={**os.environ, "FASTDL_ISA": "avx1024"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "FASTDL_ISA='avx1024'" in done.stderr and "generic" in done.stderr
