"""Who may import whom, and what a clean checkout holds."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "fastdl").rglob("*.py"))


def imports(file):
    """(module, line, at the top of the file) of each import of a file."""
    tree = ast.parse(file.read_text(), str(file))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            yield name, node.lineno, node in tree.body


def tracked():
    """Files under version control, or None outside a repository."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        return None
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name] if listed.returncode == 0 else None


def test_layers_point_downwards():
    """The contracts of pyproject.toml, by import-linter."""
    pytest.importorskip("importlinter")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_nothing_unpickles():
    for file in PACKAGE:
        for name, line, _ in imports(file):
            bad = name.partition(".")[0] in {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
            assert not bad, f"{file}:{line} imports {name}"
        assert "allow_pickle=True" not in file.read_text(), file


def test_numba_is_imported_by_its_rungs_only():
    for file in PACKAGE:
        for name, line, _ in imports(file):
            if name.partition(".")[0] == "numba":
                assert file.stem.endswith("_numba"), f"{file}:{line}"


def test_optional_packages_are_imported_where_they_are_used():
    """Never at the top of a file: `import fastdl` needs NumPy alone."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "fastdl", "fastdl_cli"}
    for file in PACKAGE:
        if file.stem.endswith("_numba"):
            continue
        for name, line, top in imports(file):
            if top:
                assert name.partition(".")[0] in allowed, f"{file}:{line} imports {name}"


def test_from_the_package_itself_only_modules_are_imported():
    """`from fastdl import Tensor` inside the package would reach upwards unseen by the contracts."""
    for file in PACKAGE:
        if file.parent == ROOT / "fastdl" or "recipes" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "fastdl":
                for alias in node.names:
                    path = ROOT / "fastdl" / alias.name
                    is_module = path.is_dir() or any(path.with_suffix(s).exists() for s in (".py", ".pyx"))
                    assert is_module, f"{file}:{node.lineno} imports {alias.name} from the package"


def test_no_file_names_a_path_of_somebodys_machine():
    files = tracked()
    if files is None:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.~])/(?:home|Users|work|root)/\w|\.\./shared")
    for file in files:
        if (
            file.suffix in {".py", ".pyx", ".pxd", ".c", ".h", ".md", ".toml", ".yaml", ".sh", ".cff", ""}
            and file.exists()
        ):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if not line.lstrip().startswith("private = re.compile"):
                    assert not private.search(line), f"{file}:{number}: {line.strip()}"


def test_no_stray_files():
    files = tracked()
    if files is None:
        pytest.skip("not a git checkout")
    top = {file.relative_to(ROOT).parts[0] for file in files}
    known = {
        *(
            "fastdl",
            "csrc",
            "datasets",
            "tests",
            "bench",
            "docs",
            "tools",
            ".ci",
            "run",
            "fastdl_cli.py",
            "setup.py",
            "pyproject.toml",
        ),
        *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "SECURITY.md", "MANIFEST.in"),
        *(".gitignore", ".clang-format", ".pre-commit-config.yaml", "examples"),
    }
    assert top <= known, f"what are {sorted(top - known)}?"
    for file in files:
        assert file.suffix not in {".so", ".o", ".pyc", ".orig", ".rej", ".bak", ".swp", ".log"}, file
        limit = 6_000_000 if {"embedded", "datasets"} & set(file.parts) else 500_000
        assert not file.exists() or file.stat().st_size < limit, f"{file} is large"


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "HACK"])
def test_nothing_is_left_to_do(word):
    for file in [*PACKAGE, *(ROOT / "fastdl").rglob("*.pyx"), *(ROOT / "csrc").rglob("*.[ch]")]:
        assert not re.search(rf"\b{word}\b", file.read_text()), file
