"""What is built, packed and installed: with a compiler, without one, and from the source archive."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools")
ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="not a source tree")
CODE = (".py", ".pyx", ".pxd", ".c", ".h")


@pytest.fixture
def checkout(tmp_path):
    """A copy of the sources, with the objects of an earlier build, so that only what has changed is compiled."""
    skip = shutil.ignore_patterns(
        ".git", "*.so", "__pycache__", "lib*", "sanitize", "*.egg-info", ".venv", "runs", ".hypothesis", ".*_cache"
    )
    return Path(shutil.copytree(ROOT, tmp_path / "checkout", ignore=skip))


def build(checkout, what, **environment):
    """Runs one hook of the build backend; returns (the file, its output)."""
    out = checkout.parent / what
    code = f"from setuptools import build_meta; print('built', build_meta.build_{what}({str(out)!r}))"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (file,) = out.iterdir()
    return file, done.stdout


def fastdl_in(site, *words, code=None):
    """Runs the installed command, or code, with nothing of this checkout on the path."""
    command = [sys.executable, "-P", "-c", code] if code else [sys.executable, "-P", "-m", "fastdl_cli", *words]
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTDL_")} | {"PYTHONPATH": str(site)}
    return subprocess.run(command, cwd=site, env=env, capture_output=True, text=True)


TRAIN = """
import numpy as np, fastdl
x = fastdl.from_numpy(np.random.default_rng(0).standard_normal((64, 4)).astype('float32'))
want = x @ fastdl.tensor([1.0, -2.0, 0.5, 3.0])
w = fastdl.zeros(4, requires_grad=True)
for _ in range(100):
    loss = (x @ w - want).square().mean()
    (dw,) = fastdl.autograd.grad(loss, [w])
    w = (w - 0.1 * dw).detach().requires_grad_()
assert loss.item() < 1e-3, loss.item()
"""


@pytest.mark.slow
def test_without_a_compiler_the_install_works_and_runs_on_numpy(checkout):
    shutil.rmtree(checkout / "build", ignore_errors=True)
    file, output = build(checkout, "wheel", CC="/nonexistent/cc", CI="")
    notices = [line for line in output.splitlines() if line.startswith("fastdl:")]
    assert notices == ["fastdl: no working C compiler found; installing without compiled kernels (NumPy rungs only)"]
    site = checkout.parent / "site"
    with zipfile.ZipFile(file) as wheel:
        assert not [n for n in wheel.namelist() if n.endswith((".so", ".pyd"))]
        wheel.extractall(site)
    report = json.loads(fastdl_in(site, "info", "--json").stdout)
    assert report["compiled"] is False and report["isa"] is None
    assert "NONE: no C compiler" in fastdl_in(site, "info").stdout
    study = fastdl_in(site, "study", "matmul", "--case", "bias and relu", "--plot", "a.png")
    assert study.returncode == 0 and "no compiled kernels" in study.stdout, study.stderr
    trained = fastdl_in(site, code=TRAIN)
    assert trained.returncode == 0, trained.stderr


@pytest.mark.slow
def test_wheel_is_small_and_complete(checkout):
    file, _ = build(checkout, "wheel")
    site = checkout.parent / "site"
    with zipfile.ZipFile(file) as wheel:
        names = wheel.namelist()
        size = sum(i.compress_size for i in wheel.infolist() if "/embedded/" not in i.filename)
        metadata = wheel.read(next(n for n in names if n.endswith("METADATA"))).decode()
        wheel.extractall(site)
    assert size < 3_000_000, f"{size / 1e6:.2f} MB without the embedded data"
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"fastdl", "fastdl_cli.py"}
    assert not [n for n in names if n.endswith((".c", ".o", ".pyc"))]
    want = {str(p.relative_to(ROOT)) for p in (ROOT / "fastdl").rglob("*.py")}
    assert want <= set(names), f"missing: {sorted(want - set(names))}"
    for case in (ROOT / "tests" / "cases").glob("*.py"):
        assert f"fastdl/_cases/{case.name}" in names
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert needed == ["Requires-Dist: numpy>=2.0"]
    assert "License-Expression: MIT" in metadata
    if shutil.which("cc") or shutil.which("gcc"):
        done = fastdl_in(site, "info", "--json")
        report = json.loads(done.stdout)
        assert report["compiled"] is True, done.stderr
        assert not [r for r in report["kernels"] if r[1] == "cython" and r[2].startswith("needs")]


def test_source_archive_holds_all_sources(checkout):
    file, _ = build(checkout, "sdist")
    with tarfile.open(file) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    for folder in ("fastdl", "csrc", "tests", "bench", "tools"):
        for source in (ROOT / folder).rglob("*"):
            if source.suffix in CODE and "build" not in source.parts:
                name = str(source.relative_to(ROOT))
                assert name in names, f"{name} is not in the source archive"
    assert {"setup.py", "pyproject.toml", "LICENSE", "README.md", "run", "fastdl_cli.py"} <= names
    assert not [n for n in names if n.endswith((".so", ".o", ".pyc"))]
