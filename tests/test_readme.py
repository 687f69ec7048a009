"""The README's training example runs as printed and learns; the files and commands that documents name exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.slow
def test_training_example_learns():
    (code,) = [c for c in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "DataLoader" in c]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    accuracy = float(re.search(r"test accuracy ([\d.]+)%", done.stdout)[1])
    assert accuracy > 90.6, done.stdout  # logistic regression on the same images


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_linked_files_exist(document):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_help_of_the_start_script_names_its_tasks():
    done = subprocess.run(["sh", str(ROOT / "run")], capture_output=True, text=True)
    assert done.returncode == 0 and "./run train" in done.stdout and "./run test" in done.stdout
