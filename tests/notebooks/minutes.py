"""The minutes of each section of each lesson: ``python -m tests.notebooks.minutes [--run] [--write]``.

What can be counted is counted in the notebooks: words, lines of code, cells, predictions, questions, exercises. What
each of them takes is an allowance, stated below and in the teacher's guide. ``--run`` executes the lessons and prints
the seconds that their cells take, ``--write`` puts the tables into ``notebooks/TEACHING.md``.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from nbformat import v4

from . import execute
from .lesson import LESSONS, ROOT, Lesson, Section, tags

__all__ = ["GUIDE", "HEAD", "Part", "parts", "table"]

GUIDE = ROOT / "notebooks" / "TEACHING.md"
HEAD = "| part | words | lines | cells | predictions | minutes |\n|---|---|---|---|---|---|\n"

WORDS_A_MINUTE = 150  # of prose that is to be understood, and not only read
LINES_A_MINUTE = 12  # of code that is new
A_CELL = 0.25  # to run it and to look at what comes; its own seconds are in this
A_PREDICTION = 1.0  # to think, to write it down, to say it
A_QUESTION = 0.5  # of the quiz, on top of reading it
A_BROWSER = 4.0  # to try the client in the browser by hand
AN_EXERCISE = 2.0  # to read what is asked, and to run the check
A_LINE_WRITTEN = 0.5  # of the solution, with the trying that it takes

EXERCISE = re.compile(r"^### (Exercise \d+ · .+?)\n.*?</details>", re.MULTILINE | re.DOTALL)
TASK = {"exercise", "check", "solution"}


@dataclass(frozen=True)
class Part:
    """A section without its exercises, or one exercise."""

    name: str
    words: int = 0
    lines: int = 0
    """Of code to read; of an exercise, those of its solution."""
    cells: int = 0
    predictions: int = 0
    extra: float = 0
    """Minutes for what is neither read nor predicted: the quiz, the browser, the exercise."""

    @property
    def minutes(self) -> int:
        """Whole minutes, one at least, so that a teacher's sums come out."""
        read = self.words / WORDS_A_MINUTE + self.cells * A_CELL + self.predictions * A_PREDICTION
        code = 0.0 if self.name.startswith("exercise") else self.lines / LINES_A_MINUTE
        return max(1, round(read + code + self.extra))


def parts(lesson: Lesson) -> list[Part]:
    """The parts of a lesson in their order: each section, and behind it its exercises."""
    return [part for section in lesson.sections for part in _parts(section)]


def _parts(section: Section) -> Iterator[Part]:
    prose = EXERCISE.sub("", section.prose)
    code = [cell for cell in section.code if not tags(cell) & TASK]
    questions = len(re.findall("<summary>", prose))
    opening = not section.title  # its cell only imports, and it explains what "Predict" asks
    yield Part(
        section.title or "opening",
        words=len(prose.split()),
        lines=0 if opening else sum(_lines(cell.source) for cell in code),
        cells=len(code),
        predictions=0 if opening else len(re.findall("predict", prose, re.IGNORECASE)),
        extra=questions * A_QUESTION + A_BROWSER * any("BrowserClient(" in cell.source for cell in code),
    )
    solutions = [cell for cell in section.code if "solution" in tags(cell)]
    for name, solution in zip(EXERCISE.findall(section.prose), solutions, strict=True):
        lines = _lines(solution.source) - 1  # the last one calls the check
        yield Part(name.lower(), lines=lines, extra=AN_EXERCISE + lines * A_LINE_WRITTEN)


def _lines(source: str) -> int:
    return len([line for line in source.splitlines() if line.strip()])


def table(lesson: Lesson) -> str:
    """The parts of a lesson as a Markdown table with a sum."""
    rows = [
        f"| {one.name} | {one.words or ''} | {one.lines or ''} | {one.cells or ''} | {one.predictions or ''} "
        f"| {one.minutes} |"
        for one in parts(lesson)
    ]
    work = sum(one.minutes for one in parts(lesson) if one.name.startswith("exercise"))
    total = sum(one.minutes for one in parts(lesson))
    last = f"| **{lesson.number} in all**, of which exercises {work} | | | | | **{total}** |"
    return HEAD + "\n".join([*rows, last]) + "\n"


def write(guide: str) -> str:
    """The guide with the tables as they are now; each stands below the heading of its lesson."""
    for path in LESSONS:
        lesson = Lesson(path)
        old = re.compile(rf"(^## {lesson.number} · .*?\n)\| part \|.*?\n(?=\n)", re.MULTILINE | re.DOTALL)
        if (found := old.search(guide)) is None:
            raise ValueError(f"{GUIDE.name} has no table below '## {lesson.number} · …'; put one line '| part |' there")
        guide = guide[: found.end(1)] + table(lesson) + guide[found.end() :]
    return guide


def seconds(lesson: Lesson) -> dict[str, float]:
    """The seconds that the cells of each section run, in a fresh kernel."""
    taken = {}
    notebook = v4.new_notebook(cells=deepcopy(lesson.code))
    with execute.client_for(notebook, timeout=execute.CELL_TIMEOUT) as client, client.setup_kernel():
        index = 0
        for section in lesson.sections:
            start = time.perf_counter()
            for _ in section.code:
                client.execute_cell(client.nb.cells[index], index)
                index += 1
            taken[section.title or "opening"] = time.perf_counter() - start
    return taken


def main() -> int:
    """Print the tables of all lessons, or what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="execute the lessons and print the seconds of each section")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {GUIDE.name}")
    options = parser.parse_args()
    for path in LESSONS:
        lesson = Lesson(path)
        if options.run:
            taken = seconds(lesson)
            slowest = max(taken, key=lambda title: taken[title])
            print(f"{path.stem}: {sum(taken.values()):.1f} s, the longest section {taken[slowest]:.1f} s ({slowest})")
        elif not options.write:
            print(f"{path.stem}\n\n{table(lesson)}")
    if options.write:
        GUIDE.write_text(write(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
