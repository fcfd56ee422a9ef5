"""Translate lessons: the prose of a notebook goes out to a catalog, and comes back as a notebook in another language.

    make translate-extract LANGUAGE=de    write what has to be translated into notebooks/translations/de/*.po
    make translate LANGUAGE=de            write the translated notebooks beside the catalogs

A catalog is a gettext file, which Poedit, Weblate and other programs for translators can edit. Each paragraph is a
message. Where a paragraph of the lesson has changed, its message becomes *fuzzy*: look at it, correct it, and remove
the mark. Code cells and outputs are those of the lesson.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

__all__ = ["FOLDER", "NOTICE", "blocks", "catalogs", "lesson_of", "read", "template", "to_look_at", "translated"]

PROJECT = "Learn WebSockets"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
FOLDER = NOTEBOOKS / "translations"
NOTICE = "A first translation, made with a machine's help. If in doubt, the [English lesson]({original}) counts."
STRUCTURE = re.compile(r" *([-*+>|]|#+|\d+\.) |```|   |</?details")
"""How a line begins that is no paragraph: a list, a quotation, a table, a heading, a fence, or more of them."""
LINK = re.compile(r"\]\((?![a-z]+:|#|/)([^)#\s]+)")

Notebook = Any
"""A `nbformat.NotebookNode`."""


def main(arguments: list[str] | None = None) -> None:
    """Extract or translate, as the command line says, and print what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["extract", "merge"])
    parser.add_argument("language", help="such as de or pt_BR")
    parser.add_argument("lessons", nargs="*", help="such as 01-handshake; by default those that have a catalog")
    wanted = parser.parse_args(arguments)
    folder = FOLDER / wanted.language
    names = wanted.lessons or [path.stem for path in catalogs(wanted.language)] or ["01-handshake"]
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / f"{name}.po" for name in names):
        lesson = lesson_of(path)
        if wanted.step == "extract":
            _write(path, updated(read(path) if path.exists() else _new(wanted.language), lesson))
        else:
            nbformat.write(translated(lesson, read(path), path), path.with_suffix(".ipynb"))
        print(f"{path}: {len(to_look_at(read(path), lesson))} paragraphs to look at")


def catalogs(language: str = "*") -> list[Path]:
    """Return the catalogs of a language, or of all."""
    return sorted(FOLDER.glob(f"{language}/*.po"))


def lesson_of(catalog: Path) -> Notebook:
    """Return the English notebook that a catalog translates."""
    return nbformat.read(NOTEBOOKS / f"{catalog.stem}.ipynb", as_version=4)


def read(path: Path) -> Catalog:
    """Return a catalog from its file."""
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.name)


def blocks(source: str) -> Iterator[tuple[str, bool]]:
    """Cut Markdown at its empty lines; yield each block, and whether it is prose rather than code or mere markup."""
    block: list[str] = []
    fenced = False
    for line in [*source.split("\n"), ""]:
        if line or fenced:
            block.append(line)
        elif block:
            text = "\n".join(block)
            yield text, _is_prose(text)
            block = []
        fenced ^= line.startswith("```")


def _is_prose(block: str) -> bool:
    is_code = block.startswith("```") and not block.startswith("```text")  # pictures in text have words
    return not is_code and bool(re.search(r"\w", re.sub(r"<[^>]*>", "", block)))


def message(block: str) -> str:
    """Return a block as its message: a paragraph on one line, so that it may be wrapped anew; others as they are."""
    is_paragraph = not any(map(STRUCTURE.match, block.split("\n")))
    return " ".join(block.split()) if is_paragraph else block


def template(lesson: Notebook) -> Catalog:
    """Return the messages of a lesson, without translations; each says in which cells it stands."""
    catalog = Catalog()
    catalog.add(NOTICE, auto_comments=["stands below the title"])
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            for block, is_prose in blocks(cell.source):
                if is_prose:
                    catalog.add(message(block), auto_comments=[cell.id])
    return catalog


def updated(catalog: Catalog, lesson: Notebook) -> Catalog:
    """Bring a catalog up to date: new messages are empty, changed ones fuzzy, old ones are comments at its end."""
    catalog.update(template(lesson), no_fuzzy_matching=False, update_header_comment=False, update_creation_date=False)
    return catalog


def to_look_at(catalog: Catalog, lesson: Notebook) -> list[str]:
    """Return the messages of the lesson that the catalog lacks, leaves empty, or marks as fuzzy."""
    wanted = [str(one.id) for one in template(lesson) if one.id]
    found = {text: catalog.get(text) for text in wanted}
    return [text for text, one in found.items() if one is None or not one.string or one.fuzzy]


def translated(lesson: Notebook, catalog: Catalog, path: Path) -> Notebook:
    """Return the lesson in the language of the catalog at this path; what is not translated yet stays English."""
    notebook = copy.deepcopy(lesson)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts = [_translation(catalog, block) if is_prose else block for block, is_prose in blocks(cell.source)]
            if index == 0:
                parts.insert(1, f"*{_translation(catalog, NOTICE)}*")
            text = LINK.sub(lambda link: f"]({_moved(link[1], path.parent)}", "\n\n".join(parts))
            cell.source = text.replace("{original}", f"{path.stem}.ipynb")
    return notebook


def _translation(catalog: Catalog, block: str) -> str:
    found = catalog.get(message(block))
    return str(found.string) if found is not None and found.string and not found.fuzzy else block


def _moved(link: str, folder: Path) -> str:
    """Return a relative link as it is in this folder: to a translation if there is one, else to the English file."""
    if (folder / link).with_suffix(".po").exists():
        return link
    return Path(os.path.relpath(NOTEBOOKS / link, folder)).as_posix()


def _new(language: str) -> Catalog:
    comment = f"# {PROJECT}: a translation of its lessons."
    return Catalog(
        language,
        project=PROJECT,
        version="1",
        header_comment=comment,
        msgid_bugs_address="see CONTRIBUTING.md",
        last_translator="a first translation, made with a machine's help",
        language_team="nobody yet",
        fuzzy=False,
    )


def _write(path: Path, catalog: Catalog) -> None:
    with path.open("wb") as file:
        write_po(file, catalog, width=0, ignore_obsolete=False)


if __name__ == "__main__":
    main()
