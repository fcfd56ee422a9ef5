"""What the reader has solved: each check that passes is remembered in a small file beside the lessons.

It stays on this machine and names nobody: ``{"lessons": {"02-echo": {"check_shout": true}}}``. The variable
``COURSE_PROGRESS`` names another file; empty, it switches this off.
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

from .checks import EXERCISES
from .expect import one_line

__all__ = ["Progress", "forget_progress", "progress", "remember"]

NAME = ".progress.json"
LOCK_SECONDS = 2.0  # that another kernel may take; each needs milliseconds
SOLUTION = "solved_"  # what the names of the lessons' own answers begin with
PASSED, OPEN = "✓", "·"

Lessons = dict[str, dict[str, bool]]

_content = TypeAdapter(dict[Literal["lessons"], Lessons])
_told: set[str] = set()


@dataclass(frozen=True)
class Progress:
    """Which exercises are solved; a cell that ends in it shows a table."""

    lessons: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """Lesson, check, whether it has passed; what is not there has not."""
    note: str = ""
    """Why nothing can be said, in one sentence; empty when all is well."""

    def solved(self, lesson: str, check: str) -> bool:
        """Whether this check has passed once."""
        return self.lessons.get(lesson, {}).get(check, False)

    def known(self) -> Lessons:
        """The exercises of this course that are solved, and no others that the file may hold."""
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
    """What is remembered, of all lessons and from all kernels."""
    file = _file()
    if file is None:
        return Progress(note="nothing is remembered here; name a file in COURSE_PROGRESS to change that")
    try:
        return Progress(_read(file))
    except (OSError, ValidationError) as error:
        return Progress(
            note=f"{file.name} cannot be read ({type(error).__name__}); the next check that passes begins anew"
        )


def forget_progress() -> Progress:
    """Forget everything that is remembered, and show that."""
    file = _file()
    if file is not None:
        try:
            with _lock(file):
                file.unlink(missing_ok=True)
                _broken(file).unlink(missing_ok=True)
        except OSError as error:
            return Progress(progress().lessons, note=f"nothing is forgotten, {one_line(error)}")
    return progress()


def remember(module: str, check: str, *answers: object) -> None:
    """Take note that a check of a lesson has passed, unless the answer is the lesson's own.

    Where that cannot be written, it says so once, and the lesson goes on.
    """
    file = _file()
    lesson = next((lesson for lesson, checks in EXERCISES.items() if check in checks), None)
    is_of_lesson = lesson is not None and module.startswith(f"{__package__}.checks.")
    if file is None or lesson is None or not is_of_lesson or any(map(_is_solution, answers)):
        return
    try:
        with _lock(file):
            _add(file, lesson, check)
    except OSError as error:
        _say_once(f"(passed, but not remembered: {one_line(error)}; name a file to write to in COURSE_PROGRESS)")


def _is_solution(answer: object) -> bool:
    """Whether the notebook, or the answer itself, calls it ``solved_…``; an app has no name of its own."""
    notebook = list(vars(sys.modules["__main__"]).items())
    names = [name for name, value in notebook if value is answer] + [str(getattr(answer, "__name__", ""))]
    return any(name.startswith(SOLUTION) for name in names)


# the file


def _file() -> Path | None:
    """Where it is: beside the lessons that are open, or those of this package; None where there are none."""
    named = os.environ.get("COURSE_PROGRESS")
    if named is not None:
        return Path(named) if named else None
    first = f"{next(iter(EXERCISES))}.ipynb"
    folders = (Path.cwd(), Path(__file__).resolve().parents[1])
    return next((folder / NAME for folder in folders if (folder / first).exists()), None)


def _broken(file: Path) -> Path:
    return file.with_name(f"{file.name}.broken")


def _lock(file: Path) -> Any:
    """Kept by one kernel at a time; filelock's own type differs from system to system."""
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


def _say_once(sentence: str) -> None:
    if sentence not in _told:
        _told.add(sentence)
        print(sentence)
