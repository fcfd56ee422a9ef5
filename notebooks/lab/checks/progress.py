"""Remember which exercises are solved: each check that passes is noted in a small file beside the lessons.

The file stays on this machine and names nobody: ``{"lessons": {"02-echo": {"check_shout": true}}}``. The variable
``COURSE_PROGRESS`` names another file; if it is empty, nothing is remembered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from ..observe.expect import one_line
from . import EXERCISES

__all__ = ["Progress", "forget_progress", "is_solution", "lesson_of", "progress", "remember", "say_once"]

NAME = ".progress.json"
LOCK_SECONDS = 2.0  # that another kernel may take; each needs milliseconds
SOLUTION = "solved_"  # what the names of the lessons' own answers begin with
PASSED, OPEN = "✓", "·"

Lessons = dict[str, dict[str, bool]]

_content = TypeAdapter(dict[Literal["lessons"], Lessons])
_told: set[str] = set()


@dataclass(frozen=True)
class Progress:
    """Which exercises are solved; shown as a table at the end of a cell."""

    lessons: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """For each lesson its checks that have passed; a check that is missing has not."""
    note: str = ""
    """Why the progress is not known, in one sentence; empty when it is known."""

    def solved(self, lesson: str, check: str) -> bool:
        """Return whether this check has passed once."""
        return self.lessons.get(lesson, {}).get(check, False)

    def known(self) -> Lessons:
        """Return the solved exercises of this course, and nothing else that the file may contain."""
        return {
            lesson: {check: True for check in checks if self.solved(lesson, check)}
            for lesson, checks in EXERCISES.items()
        }

    def __str__(self) -> str:
        rows = [
            f"{lesson:<16}  " + "  ".join(self._mark(lesson, check) for check in checks)
            for lesson, checks in EXERCISES.items()
        ]
        return "\n".join((self._summary(), *rows, *filter(None, [self.note])))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left">{lesson}</th>{self._cells(lesson)}</tr>'
            for lesson in EXERCISES
        )
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<table><caption>{self._summary()}</caption><tbody>{rows}</tbody></table>{note}"

    def _cells(self, lesson: str) -> str:
        return "".join(
            f'<td style="text-align:left">{self._mark(lesson, check)} {title}</td>'
            for check, title in EXERCISES[lesson].items()
        )

    def _mark(self, lesson: str, check: str) -> str:
        return PASSED if self.solved(lesson, check) else OPEN

    def _summary(self) -> str:
        marks = [self.solved(lesson, check) for lesson, checks in EXERCISES.items() for check in checks]
        return f"{sum(marks)} of {len(marks)} exercises solved ({PASSED})"


def progress() -> Progress:
    """Return which exercises you have solved, in all lessons: ``progress()``; a notebook shows it as a table."""
    file = progress_file()
    if file is None:
        return Progress(note="nothing is remembered here; name a file in COURSE_PROGRESS to change that")
    try:
        return Progress(_read(file))
    except (OSError, ValidationError) as error:
        return Progress(
            note=f"{file.name} cannot be read ({type(error).__name__}); the next check that passes begins anew"
        )


def forget_progress() -> Progress:
    """Forget which exercises you have solved, and return the empty table: ``forget_progress()``."""
    file = progress_file()
    if file is not None:
        try:
            with _lock(file):
                file.unlink(missing_ok=True)
                _broken(file).unlink(missing_ok=True)
        except OSError as error:
            return Progress(progress().lessons, note=f"nothing is forgotten, {one_line(error)}")
    return progress()


def remember(module: str, check: str, *answers: object) -> None:
    """Remember that a check has passed, unless the answer is the lesson's own solution.

    If the file can't be written, print why, once for each reason.
    """
    file = progress_file()
    lesson = lesson_of(module, check)
    if file is None or lesson is None or any(map(is_solution, answers)):
        return
    try:
        with _lock(file):
            _add(file, lesson, check)
    except OSError as error:
        say_once(f"(passed, but not remembered: {one_line(error)}; name a file to write to in COURSE_PROGRESS)")


def lesson_of(module: str, check: str) -> str | None:
    """Return the lesson that has this check of `lab.checks` as an exercise; None if there is none."""
    lesson = next((lesson for lesson, checks in EXERCISES.items() if check in checks), None)
    return lesson if module.startswith(f"{__package__}.") else None


def is_solution(answer: object) -> bool:
    """Return whether the answer's name, in the notebook or its own, begins with ``solved_``."""
    notebook = list(vars(sys.modules["__main__"]).items())
    names = [name for name, value in notebook if value is answer] + [str(getattr(answer, "__name__", ""))]
    return any(name.startswith(SOLUTION) for name in names)


# the file


def progress_file() -> Path | None:
    """Return the path of the file: beside the open lessons, or beside this package; None if there are no lessons."""
    named = os.environ.get("COURSE_PROGRESS")
    if named is not None:
        return Path(named) if named else None
    first = f"{next(iter(EXERCISES))}.ipynb"
    folders = (Path.cwd(), Path(__file__).resolve().parents[2])
    return next((folder / NAME for folder in folders if (folder / first).exists()), None)


def _broken(file: Path) -> Path:
    return file.with_name(f"{file.name}.broken")


def _lock(file: Path) -> Any:
    """Return the lock of the file, which one kernel has at a time."""
    return FileLock(f"{file}.lock", timeout=LOCK_SECONDS)


def _read(file: Path) -> Lessons:
    try:
        return _content.validate_json(file.read_bytes()).get("lessons", {})
    except FileNotFoundError:
        return {}


def _add(file: Path, lesson: str, check: str) -> None:
    try:
        lessons = _read(file)
    except ValidationError:
        file.replace(_broken(file))
        print(f"({file.name} could not be read and begins anew; what it was is in {_broken(file).name})")
        lessons = {}
    if lessons.get(lesson, {}).get(check):
        return
    lessons.setdefault(lesson, {})[check] = True
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(_content.dump_json({"lessons": lessons}, indent=1))
    new.replace(file)  # whoever reads it sees the old or the new, and never a half


def say_once(sentence: str) -> None:
    """Print a sentence, unless it was printed before in this process."""
    if sentence not in _told:
        _told.add(sentence)
        print(sentence)
