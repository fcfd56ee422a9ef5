"""The deeper notebooks in a browser without an install: every stored output is the same."""

from __future__ import annotations

import pytest

from docs.lite import LESSONS
from tests.browser.notebook import Notebook
from tests.browser.test_lessons import compare

DEEPER = [name for name in LESSONS if name.startswith("deeper/")]

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.parametrize("opened", DEEPER, indirect=True, scope="module"),
]


def test_run_all_shows_what_is_stored(opened: Notebook) -> None:
    """Every cell, strictly; JupyterLite ends Run All at a cell that raises, so the cells below it run after that."""
    cells = opened.run_all()
    raises = [i for i, cell in enumerate(cells) if "raises-exception" in cell["metadata"].get("tags", [])]
    for index in raises:
        below = range(index + 1, len(cells))
        opened.run(*(i for i in below if cells[i]["cell_type"] == "code" and cells[i]["execution_count"] is None))
    opened.screenshot("lite")
    compare(opened)
