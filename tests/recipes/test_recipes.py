"""Each recipe is one screen, is in the list, and names its sources and its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recipes.recipe import RECIPES, code

ROOT = Path(__file__).parents[2]
MOST_LINES, MOST_RECIPES, COLUMNS = 92, 12, 85
per_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def test_at_most_twelve_are_listed_in_their_order() -> None:
    """The list has each recipe once."""
    listed = re.findall(r"\((\S+)\.md\)", (RECIPES[0].parent / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [path.stem for path in RECIPES]
    assert len(listed) <= MOST_RECIPES


@per_recipe
def test_a_recipe_is_one_screen_with_its_sources_and_its_test(path: Path) -> None:
    """Its title, its length, upstream sources, and a test that is there."""
    page = path.read_text(encoding="utf-8")
    assert page.startswith("# ")
    assert len(page.splitlines()) <= MOST_LINES
    sources = page.partition("**Sources.**")[2]
    assert "http" in sources or "server/app/routes.py" in sources
    tests = re.findall(r"`(tests/[\w./]+)`", sources)
    assert tests
    assert [name for name in tests if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if path.stem != "phones-and-hidden-tabs"], ids=lambda path: path.stem
)
def test_code_fits_the_page(path: Path) -> None:
    """Nobody scrolls sideways; the lines that are quoted from connection.js are as long as they are there."""
    blocks = re.findall(r"^```.*?^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if len(line) > COLUMNS] == []


def test_the_lines_of_the_page_are_those_of_the_recipe() -> None:
    """What the recipe quotes from connection.js is in it, line by line."""
    source = (ROOT / "server" / "app" / "static" / "connection.js").read_text(encoding="utf-8")
    quoted = code("phones-and-hidden-tabs", "js")
    assert len(quoted) == 2
    assert [block for block in quoted if block not in source] == []
