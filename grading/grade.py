"""Grade a class: ``make grade FOLDER=class`` executes every copy of a lesson in the folder, and writes a table.

``FOLDER`` has a folder for each student, or files with the student's name: see `grading.copies`. With a class list
in ``names.txt``, a student who handed in nothing has a row too. Two files are written beside the copies:
``grades.csv`` for a spreadsheet, and ``grades.md`` to read, with a sentence for each answer that is not right.

This runs the students' code with your rights. Do it on an account or in a container that has nothing to lose.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from .copies import Copy, find_copies, read_names
from .execution import CELL_SECONDS, COPY_SECONDS, Graded, grade
from .table import Table

__all__ = ["grade_all"]


def main(arguments: list[str] | None = None) -> int:
    """Grade the copies that the command line names; 1 if there is none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the copies are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="copies at a time; one for each core")
    parser.add_argument("--seconds", type=float, default=COPY_SECONDS, help="that a copy may take (%(default)g)")
    wanted = parser.parse_args(arguments)
    copies = find_copies(wanted.folder)
    if not copies:
        print(f"no notebook of a lesson is in {str(wanted.folder)!r}; expected ana/01-handshake.ipynb or similar")
        return 1
    graded = asyncio.run(grade_all(copies, jobs=wanted.jobs, copy_seconds=wanted.seconds))
    table = Table(graded, read_names(wanted.folder))
    (wanted.folder / "grades.csv").write_text(table.csv(), encoding="utf-8")
    (wanted.folder / "grades.md").write_text(table.markdown(), encoding="utf-8")
    print(table.text())
    print(f"\nwritten: {wanted.folder / 'grades.csv'}, {wanted.folder / 'grades.md'}")
    return 0


async def grade_all(
    copies: list[Copy], *, jobs: int = 1, cell_seconds: int = CELL_SECONDS, copy_seconds: float = COPY_SECONDS
) -> list[Graded]:
    """Grade the copies, `jobs` at a time, and return the results in the order of the copies."""
    free = asyncio.Semaphore(jobs)

    async def one(copy: Copy) -> Graded:
        async with free:
            return await grade(copy, cell_seconds=cell_seconds, copy_seconds=copy_seconds)

    return await asyncio.gather(*map(one, copies))


if __name__ == "__main__":
    raise SystemExit(main())
