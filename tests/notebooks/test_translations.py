"""A translated lesson is up to date, runs the same code, and shows the same outputs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
import pytest
from babel.messages.catalog import Catalog
from nbformat import v4

from docs import translate

from .lesson import LESSONS

CATALOGS = translate.catalogs()
per_catalog = pytest.mark.parametrize("path", CATALOGS, ids=lambda path: f"{path.parent.name}-{path.stem}")


def notebook_of(*sources: str) -> Any:
    """A lesson with these cells of Markdown, and one of code."""
    cells = [v4.new_markdown_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    return v4.new_notebook(cells=[*cells, v4.new_code_cell("answer = 42", id="code")])


@per_catalog
def test_somebody_has_looked_at_each_paragraph(path: Path) -> None:
    """When the lesson has changed: ``make translate-extract``, correct what is fuzzy or empty, ``make translate``."""
    assert translate.to_look_at(translate.read(path), translate.lesson_of(path)) == []


@per_catalog
def test_the_notebook_is_made_from_lesson_and_catalog(path: Path) -> None:
    """Nobody has edited it by hand, and nobody forgot ``make translate``."""
    lesson = translate.lesson_of(path)
    stored = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert stored == translate.translated(lesson, translate.read(path), path)
    assert [cell for cell in stored.cells if cell.cell_type == "code"] == [
        cell for cell in lesson.cells if cell.cell_type == "code"
    ]


@per_catalog
def test_what_is_code_in_a_paragraph_is_code_in_its_translation(path: Path) -> None:
    """And a choice stays a choice: the same letters, in the same number."""
    wrong = []
    for one in translate.read(path):
        if isinstance(one.id, str) and one.id and "```" not in one.id:
            for pattern in (r"`[^`]+`", r"<code>.*?</code>", r"\*\*[a-d]\*\*", r"</?details>", r"\]\([^)]*\)"):
                before, after = (Counter(re.findall(pattern, str(text))) for text in (one.id, one.string))
                wrong += [f"{one.id[:60]}: {before - after} {after - before}"] if before != after else []
    assert wrong == []


@per_catalog
def test_its_links_lead_somewhere(path: Path) -> None:
    """Relative to the folder of the translation."""
    text = "\n".join(cell.source for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells)
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith(("http", "#"))]
    assert links
    assert [link for link in links if not (path.parent / link).is_file()] == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_letter_of_a_lesson_is_lost(path: Path) -> None:
    """Cut into blocks and put together again, each cell is what it was; with an empty catalog so is the lesson."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            assert "\n\n".join(block for block, _ in translate.blocks(cell.source)) == cell.source


def test_code_is_not_prose_and_a_wrapped_paragraph_is_one_message() -> None:
    """Fences with an empty line stay whole; lists, tables, quotations and pictures in text keep their lines."""
    source = "A line\nand more.\n\n```python\nx = 1\n\ny = 2\n```\n\n- one\n- two\n\n</details>\n\n```text\nword\n```"
    lesson = notebook_of(source)
    messages = [one.id for one in translate.template(lesson) if one.id]
    assert messages == [translate.NOTICE, "A line and more.", "- one\n- two", "```text\nword\n```"]


def test_a_changed_paragraph_is_fuzzy_and_a_new_one_is_empty(tmp_path: Path) -> None:
    """Until somebody looks at them the translated lesson shows them in English; a new wrapping changes nothing."""
    path = tmp_path / "de" / "99-test.po"
    before = notebook_of("# Title", "A server runs forever,\nbut a cell has to finish.", "The end of it.")
    catalog = translate.updated(Catalog("de"), before)
    german = ("Hinweis auf {original}", "# Titel", "Ein Server läuft immer weiter.", "Das Ende.")
    for one, text in zip([one for one in catalog if one.id], german, strict=True):
        one.string = text
    assert translate.to_look_at(catalog, before) == []
    after = notebook_of(
        "# Title", "A server runs forever, and a cell has to finish.", "The end\nof it.", "Something quite different."
    )
    looked = translate.updated(catalog, after)
    assert translate.to_look_at(looked, after) == [after.cells[1].source, after.cells[3].source]
    shown = [cell.source for cell in translate.translated(after, looked, path).cells]
    assert shown[0].startswith("# Titel\n\n*Hinweis auf 99-test.ipynb*")
    assert shown[1:] == [after.cells[1].source, "Das Ende.", after.cells[3].source, "answer = 42"]
