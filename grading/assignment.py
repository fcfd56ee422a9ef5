"""Write the lessons without their solutions, for a class: ``make assignment``, into ``build/assignment/``.

The exercises, their checks and the rest of the lesson stay. A copy has no outputs, so that nothing is on the screen
before its prediction. Later cells that used a solution use the student's own answer instead.

Each check ends with ``.points()``, and carries nbgrader's metadata: nbgrader reads 1.0 or 0.0 from the cell. If you
use nbgrader, put the copies into its ``source/`` folder. ``make grade`` needs none of that.
"""

from __future__ import annotations

import argparse
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["LESSONS", "Hints", "assignment_of", "tags"]

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
CHECK = re.compile(r"^(check_\w+)\((.+)\)$", re.MULTILINE)
STRONGER = re.compile(r"<details><summary>(?:A s|S)tronger hint</summary>.*?</details>\n?", re.DOTALL)
SCHEMA = 3  # of nbgrader's metadata

Notebook = Any
"""A `nbformat.NotebookNode`."""


class Hints(StrEnum):
    """Which hints the students get."""

    ALL = "all"
    FIRST = "first"
    NONE = "none"


def main(arguments: list[str] | None = None) -> None:
    """Write the copies that the command line asks for, and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the copies go")
    parser.add_argument("--hints", type=Hints, choices=list(Hints), default=Hints.ALL, help="all is the default")
    parser.add_argument(
        "--lessons", nargs="*", default=[], metavar="NUMBER", help="such as 01 03; all if none is given"
    )
    wanted = parser.parse_args(arguments)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for path in LESSONS:
        if not wanted.lessons or path.stem[:2] in wanted.lessons:
            copy = assignment_of(nbformat.read(path, as_version=4), wanted.hints)
            nbformat.write(copy, wanted.folder / path.name)
            print(wanted.folder / path.name)


def assignment_of(lesson: Notebook, hints: Hints = Hints.ALL) -> Notebook:
    """Return the lesson as students get it; `lesson` itself is changed."""
    lesson.cells = [cell for cell in lesson.cells if "solution" not in tags(cell) and not _is_hint(cell, hints)]
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            _use_own_answers(cell)
        elif hints is Hints.FIRST:
            cell.source = STRONGER.sub("", cell.source).rstrip()
        if "check" in tags(cell):
            _give_points(cell)
    return lesson


def tags(cell: Any) -> set[str]:
    """Return the tags of a cell; none if its metadata is odd, because a student may have edited it."""
    found = cell.metadata.get("tags", [])
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()


def _is_hint(cell: Any, hints: Hints) -> bool:
    return hints is Hints.NONE and cell.cell_type == "markdown" and "<summary>Hint</summary>" in cell.source


def _use_own_answers(cell: Any) -> None:
    if "solved_" in cell.source:
        cell.source = cell.source.replace("solved_", "")
        # a stub raises here, and Run All still goes on to the next section
        cell.metadata.tags = sorted(tags(cell) | {"raises-exception"})


def _give_points(cell: Any) -> None:
    name = CHECK.search(cell.source)
    assert name is not None, cell.source
    cell.source = CHECK.sub(r"\1(\2).points()", cell.source)
    cell.metadata.nbgrader = {
        "grade": True,
        "grade_id": name[1],
        "points": 1,
        "locked": True,
        "solution": False,
        "task": False,
        "schema_version": SCHEMA,
        "cell_type": "code",
    }


if __name__ == "__main__":
    main()
