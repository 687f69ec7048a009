"""The pages of the lectures: their code runs, and draws the pictures that they show."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "lectures").glob("*_*.md"))
spec = importlib.util.spec_from_file_location("lectures", ROOT / "tools" / "lectures.py")
lectures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lectures)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page_runs_and_draws_its_pictures(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    assert lectures.run_page(page, tmp_path) > 0, "a page without code"
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", page.read_text(encoding="utf-8"))
    for picture in shown:
        assert (page.parent / picture).exists(), f"{picture} is shown but not committed"
    drawn = {p.name for p in tmp_path.glob("*.png")}
    assert drawn <= set(shown), f"drawn but not shown: {sorted(drawn - set(shown))}"


def test_blocks_share_a_namespace_and_errors_name_the_line_of_the_page(tmp_path):
    page = tmp_path / "1_page.md"
    page.write_text("# Title\n\n```python\nx = 2\n```\ntext\n```python\nassert x == 2\ny = x / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        lectures.run_page(page, tmp_path)
    assert caught.traceback[-1].lineno + 1 == 9
