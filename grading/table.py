"""The grades of a class as a table: for a spreadsheet, to read, and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from lab.checks import EXERCISES

from .execution import Graded

__all__ = ["Table"]

PASSED, FAILED = "✓", "·"
MISSING = "missing"


class Table:
    """A row for each student, and a column for each exercise of the lessons that somebody handed in."""

    def __init__(self, graded: Sequence[Graded], names: Sequence[str] = ()) -> None:
        self.graded = {(one.copy.name, one.copy.lesson): one for one in graded}
        self.names = sorted({name for name, _ in self.graded} | set(names), key=str.lower)
        self.lessons = sorted({lesson for _, lesson in self.graded})

    def csv(self) -> str:
        """Return the table as CSV: 1 or 0 for an exercise, nothing if the lesson is missing, then sum and notes."""
        file = io.StringIO(newline="")
        writer = csv.writer(file, lineterminator="\n")
        checks = [f"{lesson} {check}" for lesson in self.lessons for check in EXERCISES[lesson]]
        writer.writerow(["name", *checks, "score", "max score", "notes"])
        for name in self.names:
            points = [mark for lesson in self.lessons for mark in self._points(name, lesson)]
            score = sum(int(mark) for mark in points if mark)
            writer.writerow([_plain(name), *points, score, len(checks), _plain("; ".join(self._notes(name)))])
        return file.getvalue()

    def text(self) -> str:
        """Return the table for a terminal: a line for each student."""
        width = max(map(len, self.names), default=0)
        lines = [" ".join([" " * width, *(lesson[:2].center(len(EXERCISES[lesson])) for lesson in self.lessons)])]
        for name in self.names:
            marks = [self._marks(name, lesson) for lesson in self.lessons]
            lines.append(" ".join([name.ljust(width), *marks, f"{self._score(name):>2}", "; ".join(self._notes(name))]))
        return "\n".join(line.rstrip() for line in lines)

    def markdown(self) -> str:
        """Return the table with a section for each student, which says what each check that didn't pass has said."""
        lines = ["# Grades", "", "```text", self.text(), "```"]
        for name in self.names:
            lines += ["", f"## {name}", ""]
            lines += [f"- {note}" for note in self._notes(name)]
            for lesson in self.lessons:
                if found := self.graded.get((name, lesson)):
                    titles = EXERCISES[lesson]
                    for test in found.results["tests"]:
                        mark = PASSED if test["score"] else FAILED
                        said = " ".join(test["output"].split())
                        lines.append(f"- {mark} {lesson}, {titles[test['name']]}: `{said.replace('`', chr(39))}`")
        return "\n".join(lines) + "\n"

    def _points(self, name: str, lesson: str) -> list[str]:
        found = self.graded.get((name, lesson))
        if found is None:
            return [""] * len(EXERCISES[lesson])
        return [str(test["score"]) for test in found.results["tests"]]

    def _marks(self, name: str, lesson: str) -> str:
        return "".join({"1": PASSED, "0": FAILED, "": "-"}[mark] for mark in self._points(name, lesson))

    def _score(self, name: str) -> int:
        return sum(found.results["score"] for (one, _), found in self.graded.items() if one == name)

    def _notes(self, name: str) -> list[str]:
        notes = []
        for lesson in self.lessons:
            found = self.graded.get((name, lesson))
            note = MISSING if found is None else found.note
            if note:
                notes.append(f"{lesson}: {note}")
        return notes


def _plain(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
