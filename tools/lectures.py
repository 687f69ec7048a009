"""Runs the code of lecture pages: every ```python block of a page, in order, in one namespace.

python tools/lectures.py docs/lectures/3_optimizers.md ...     refreshes the pictures beside the pages
"""

import os
import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_page(page, folder) -> int:
    """Run the blocks of `page` with `folder` as the working folder; returns how many there were."""
    text = Path(page).read_text(encoding="utf-8")
    namespace = {"__name__": "__lecture__"}
    before = Path.cwd()
    blocks = list(BLOCK.finditer(text))
    try:
        os.chdir(folder)
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            # Line numbers of a traceback are those of the page.
            exec(compile("\n" * line + block[1], str(page), "exec"), namespace)
    finally:
        os.chdir(before)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return len(blocks)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    for name in sys.argv[1:]:
        path = Path(name).resolve()
        print(f"{name}: {run_page(path, path.parent)} blocks")
