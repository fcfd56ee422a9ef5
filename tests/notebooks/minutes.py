"""The minutes of each section of each lesson: ``python -m tests.notebooks.minutes [--run] [--write]``.

What can be counted is counted in the notebooks: words, lines of code, cells, predictions, questions, exercises. What
each of them takes is an allowance, stated below and in the teacher's guide. ``--run`` executes the lessons and prints
the seconds that their cells take, ``--write`` puts the tables and the model solutions into ``docs/teaching/``.
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
from .density import prose_words
from .lesson import LESSONS, ROOT, Lesson, Section, tags

__all__ = ["GUIDE", "HEAD", "Part", "parts", "table"]

GUIDE = ROOT / "docs" / "teaching"
HEAD = "| part | words | lines | cells | predictions | minutes |\n|---|---|---|---|---|---|\n"

A_QUESTION = 0.5  # of the quiz, on top of reading it


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a reader needs, in minutes or for a minute."""

    words: int
    """Of prose that is to be understood, and not only read, in a minute."""
    lines: int
    """Of code that is new, in a minute."""
    browser: float
    """Minutes to try a client in the browser by hand."""
    prediction: float
    """Minutes to read it, to think, to choose, and to read the explanation."""
    exercise: float
    """Minutes to read what is asked, and to run the check."""
    line_written: float
    """Minutes for a line of the solution, with the trying that it takes."""


JUNIOR = Allowance(words=120, lines=5, browser=1, prediction=2, exercise=5, line_written=0.5)

EXERCISE = re.compile(
    r"^### (Exercise \d+ · .+?)\n.*?</details>(?:\s*<details>.*?</details>)*", re.MULTILINE | re.DOTALL
)
PREDICTION = re.compile(r"^> \*\*Predict\.\*\*.*?</details>", re.MULTILINE | re.DOTALL)
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
        read = self.words / JUNIOR.words + self.predictions * JUNIOR.prediction
        code = 0.0 if self.name.startswith("exercise") else self.lines / JUNIOR.lines
        return max(1, round(read + code + self.extra))


def parts(lesson: Lesson) -> list[Part]:
    """The parts of a lesson in their order: each section, and behind it its exercises."""
    return [part for section in lesson.sections for part in _parts(section)]


def _parts(section: Section) -> Iterator[Part]:
    prose = EXERCISE.sub("", section.prose)
    code = [cell for cell in section.code if not tags(cell) & TASK]
    questions = len(re.findall("<summary>", prose)) if section.title.startswith("Quiz") else 0
    opening = not section.title  # its cell only imports, and it explains what "Predict" asks
    yield Part(
        section.title or "opening",
        words=prose_words(PREDICTION.sub("", prose)),
        lines=0 if opening else sum(_lines(cell.source, imports=False) for cell in code),
        cells=len(code),
        predictions=0 if opening else len(re.findall(r"^> \*\*Predict\.\*\*", prose, re.MULTILINE)),
        extra=questions * A_QUESTION + JUNIOR.browser * any("BrowserClient(" in cell.source for cell in code),
    )
    solutions = [cell for cell in section.code if "solution" in tags(cell)]
    for name, solution in zip(EXERCISE.findall(section.prose), solutions, strict=True):
        lines = _lines(solution.source) - 1  # the last one calls the check
        yield Part(name.lower(), lines=lines, extra=JUNIOR.exercise + lines * JUNIOR.line_written)


def _lines(source: str, *, imports: bool = True) -> int:
    """The lines that a reader decodes; a line that imports needs no more than a glance."""
    lines = [line for line in source.splitlines() if line.strip()]
    return len([line for line in lines if imports or not line.startswith(("import ", "from "))])


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


def solutions(lesson: Lesson) -> str:
    """The model solutions as Markdown, without the line that calls the check."""
    names = [name for section in lesson.sections for name in EXERCISE.findall(section.prose)]
    cells = [cell for section in lesson.sections for cell in section.code if "solution" in tags(cell)]
    code = [re.sub(r"\n+check_\w+\(.*\)$", "", cell.source) for cell in cells]
    code = [
        re.sub(r"\n\n(?=@|(?:async )?def )", "\n\n\n", one) for one in code
    ]  # as ruff format has it, in Markdown too
    return "\n".join(f"**{name}**\n\n```python\n{one}\n```\n" for name, one in zip(names, code, strict=True))


def write(lesson: Lesson, guide: str) -> str:
    """The guide to a lesson with the table and the solutions as they are now."""
    rows = re.search(r"^\| part \|.*?\n(?=\n)", guide, re.MULTILINE | re.DOTALL)
    below = re.search(r"(?<=^## Model solutions\n).*?(?=^## )", guide, re.MULTILINE | re.DOTALL)
    if rows is None or below is None:
        raise ValueError(f"the guide to {lesson.path.name} needs a line '| part |' and '## Model solutions'")
    between = guide[rows.end() : below.start()]
    return f"{guide[: rows.start()]}{table(lesson)}{between}\n{solutions(lesson)}\n{guide[below.end() :]}"


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
    parser.add_argument("--write", action="store_true", help="put the tables into the guides")
    options = parser.parse_args()
    for path in LESSONS:
        lesson = Lesson(path)
        if options.run:
            taken = seconds(lesson)
            slowest = max(taken, key=lambda title: taken[title])
            print(f"{path.stem}: {sum(taken.values()):.1f} s, the longest section {taken[slowest]:.1f} s ({slowest})")
        elif options.write:
            guide = GUIDE / f"{path.stem}.md"
            guide.write_text(write(lesson, guide.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            print(f"{path.stem}\n\n{table(lesson)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
