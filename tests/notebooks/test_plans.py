"""The 90-minute plan of each lesson can be taught: its cells run in a fresh kernel, in the plan's order, and no others.

What a plan leaves out, such as a section for afterwards, may have defined a name that a later cell needs. Then a row of
the plan has to say so: with *Run All Above Selected Cell* in its last column, it runs all that is above its last part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import v4

from docs.slides.guide import Guide

from .execute import CELL_TIMEOUT, client_for
from .lesson import LESSONS, Cell, Lesson
from .test_teaching import planned_names

pytestmark = pytest.mark.timeout(180)  # kernels start slowly on a busy machine

ABOVE = "Run All Above Selected Cell*"


def _part_of_each_cell(lesson: Lesson) -> Iterator[tuple[str, Cell]]:
    """The part of the lesson that each code cell belongs to, in the words of a plan: ``opening``, ``3``, ``ex 1``.

    What follows a solution in its section belongs to the exercise, because it uses the solution.
    """
    part = "opening"
    for cell in lesson.cells:
        if cell.cell_type == "code":
            yield part, cell
            continue
        for marks, title in re.findall(r"^(##|###) (.+)$", cell.source, re.MULTILINE):
            if marks == "##":
                part = title.split(" · ")[0].lower()
            elif exercise := re.match(r"Exercise (\d+)", title):
                part = f"ex {exercise[1]}"


def planned_cells(path: Path) -> list[Cell]:
    """Return the code cells that a class runs by the lesson's plan, in the plan's order, each of them once."""
    cells = list(_part_of_each_cell(Lesson(path)))
    planned: dict[int, Cell] = {}
    for _, parts, *_, what in Guide(path.stem).rows("minutes"):
        wanted = planned_names(parts)
        named = [place for place, (part, _) in enumerate(cells) if part in wanted]
        if ABOVE in what:
            selected = next(place for place in named if cells[place][0] == wanted[-1])
            named = [*range(selected), *(place for place in named if place >= selected)]
        planned |= {place: cells[place][1] for place in named if place not in planned}
    return list(planned.values())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_cells_of_a_plan_run_in_a_fresh_kernel(path: Path) -> None:
    """No cell raises because it needs a name from a section that the plan leaves out."""
    notebook = v4.new_notebook(cells=planned_cells(path))
    with client_for(notebook, timeout=CELL_TIMEOUT) as client:
        client.execute()
