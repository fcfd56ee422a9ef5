"""README.md and CONTRIBUTING.md: what stands first, and that what they name is there and says the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)|src=\"([^\"]+)\"")


def test_the_first_screen_has_a_promise_a_picture_and_two_commands() -> None:
    """In this order, and within the first twenty lines."""
    first = "\n".join(README.splitlines()[:20])
    places = [first.find(text) for text in ("**In five evenings", "images/chat.png", "$ make lab", "$ make serve")]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "notebooks/README.md", "docs/recipes/README.md"])
def test_a_link_leads_to_a_file(name: str) -> None:
    """Each file, folder and picture that is linked is in the repository."""
    page = ROOT / name
    links = [first or second for first, second in LINK.findall(page.read_text(encoding="utf-8"))]
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_minutes_are_those_of_the_map() -> None:
    """The map's own are compared with what the notebooks say and with what is counted in them."""
    told = re.findall(r"\(notebooks/(\d\d-[\w-]+\.ipynb)\) \|.*?\| (\d+) \|", README)
    assert len(told) == len(list((ROOT / "notebooks").glob("0*.ipynb")))
    assert told == re.findall(r"\((\d\d-[\w-]+\.ipynb)\) \|.*?\| (\d+) \|", MAP)


def test_the_python_is_the_one_that_is_required() -> None:
    """README says the lower bound of pyproject.toml."""
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"Python {required.removeprefix('>=')} or newer" in README


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_a_make_command_is_a_target(name: str) -> None:
    """Every `make …` that is told is in the Makefile."""
    told = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")))
    assert told
    assert told <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
