"""What the pages of the site have and the files don't: a table of contents, folds, anchors, a glossary to search."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat import v4

from docs.lite import LESSONS

ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)]+)\.ipynb\) \| ([^|]+) \| (\d+) \|$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
TOCTREE = """
```{{toctree}}
:hidden:
:caption: {caption}

{entries}
```
"""
RUN = """
```{{admonition}} Run this lesson
:class: tip

What you read here has been run. Run it yourself, and change it: start `make lab`, then open
[{name} in JupyterLab]({address}).{browser}
```
"""
BROWSER = "\nOr [run it in your browser]({address}), without installing anything."
PRINTED = '\n\n<p class="print"><a href="POCKET-REFERENCE.pdf">This page as a PDF, to print on one sheet</a></p>\n\n'
ALT = "A plot; the next cell says what to see in it"


class Lesson(NamedTuple):
    """A row of the map: its title, where its page is, its question, and its minutes."""

    title: str
    page: str
    question: str
    minutes: int


def lessons(map_of_the_course: Path) -> list[Lesson]:
    """Return the lessons that the map shows, in its order, without the optional ones."""
    rows = ROW.findall(map_of_the_course.read_text(encoding="utf-8"))
    return [
        Lesson(title, f"notebooks/{page}.html", question, int(minutes))
        for title, page, question, minutes in rows
        if not page.startswith("deeper/")
    ]


def contents(map_of_the_course: str, names: list[str]) -> str:
    """Return the tables of contents: the pages in the order of the map, then those that it doesn't show."""
    order = [f"notebooks/{page}" for _, page, _, _ in ROW.findall(map_of_the_course)]
    names = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
    parts = {
        "Lessons": [name for name in names if re.fullmatch(r"notebooks/\d\d-[^/]+", name)],
        "At hand": [name for name in names if re.fullmatch(r"notebooks/[A-Z-]+", name) and "README" not in name],
        "Optional": [name for name in names if name.startswith("notebooks/deeper/")],
        "Recipes": [name for name in names if name.startswith("docs/recipes/")],
        "Translations": [name for name in names if name.startswith("notebooks/translations/")],
    }
    return "".join(
        TOCTREE.format(caption=caption, entries="\n".join(f"/{name}" for name in entries))
        for caption, entries in parts.items()
        if entries
    )


def lesson(text: str, place: str, lab: str, browser: str) -> str:
    """Return a notebook as the site shows it: where to run it, folds, alternative texts, names of cells."""
    notebook: Any = nbformat.reads(text, as_version=4)
    elsewhere = BROWSER.format(address=browser + place) if browser and place.removesuffix(".ipynb") in LESSONS else ""
    run = RUN.format(name=place.rpartition("/")[2], address=lab + place, browser=elsewhere)
    for cell in notebook.cells:
        cell.metadata.site_id = cell.get("id", "")
        tags = cell.metadata.get("tags", [])
        if "check" in tags:
            cell.outputs = []  # nothing was answered here, so "not yet" would stand right above "passed"
        cell.metadata.tags = ["hide-cell" if tag == "solution" else tag for tag in tags]
        for output in cell.get("outputs", []):
            drawing = re.search(r'aria-label="([^"]*)"', output.get("data", {}).get("image/svg+xml", ""))
            said = output.get("metadata", {}).get("image/png", {}).get("alt", ALT)
            cell.metadata.mystnb = {"image": {"alt": drawing[1] if drawing else said}}
    notebook.cells.insert(1, v4.new_markdown_cell(run))
    written: str = nbformat.writes(notebook)
    return written


def glossary(text: str, course: list[Lesson]) -> str:
    """Return the glossary with a definition for each row of its table, which the search finds by its term."""
    pages = {one.title[:2]: one.page.removeprefix("notebooks/").replace(".html", ".ipynb") for one in course}
    before, _, table = text.partition("\n| term |")
    entries = []
    for row in table.splitlines()[2:]:
        if not row.startswith("|"):
            continue
        term, meaning, number, standard = (field.strip() for field in row.strip("|").split("|"))
        where = f"[lesson {number}]({pages[number]})" if number in pages else number
        entries.append(f"{term}\n  {meaning}\n  *{' · '.join(filter(None, (where, standard)))}*\n")
    return f"{before}\n```{{glossary}}\n" + "\n".join(entries) + "```\n"


def without_lab(text: str) -> str:
    """Return a page without what is said only to those who read it in JupyterLab."""
    return re.sub("<!-- in JupyterLab -->.*?<!-- everywhere -->\n", "", text, flags=re.DOTALL)


def printed(text: str) -> str:
    """Return the pocket reference with a link to its PDF below the first heading."""
    heading, _, rest = text.partition("\n")
    return heading + PRINTED + rest


def outward_links(text: str, path: Path, root: Path, names: set[str], repository: str) -> str:
    """Return `text` with its links to files that the site lacks: to the repository, or as plain text without one."""

    def mend(link: re.Match[str]) -> str:
        target = (path.parent / link[2]).resolve()
        if not target.is_relative_to(root) or not target.exists():
            return link[0]  # Sphinx complains
        place = target.relative_to(root).as_posix()
        if place.rpartition(".")[0] in names:
            return link[0]
        return f"[{link[1]}]({repository}/blob/HEAD/{place})" if repository else link[1]

    return LINK.sub(mend, text)
