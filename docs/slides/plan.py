"""The 90-minute plan of a lesson: which slides belong to it. The others are left out of the short deck."""

from __future__ import annotations

import re

from .guide import Guide
from .lesson import Lesson
from .outline import Slide


class Plan:
    """The numbers of the slides in the plan's table, in the guide of a lesson."""

    def __init__(self, guide: Guide) -> None:
        self.whole = guide.rows("minutes")
        """The rows: the minutes, the parts, the slides, when it begins (h:mm), and what the teacher does."""
        self.rows = [(row[1], row[2]) for row in self.whole]
        """The parts of each row, such as ``02: 5 to 6, ex 1``, and its slides, such as ``12-15 + 2``."""
        self.slides = {number for _, named in self.rows for number in numbers(named)}
        self.starts = {min(numbers(row[2])): row for row in self.whole if row[2]}
        """The row that begins at each slide, by its number."""

    def minutes(self, exercise: str) -> int | None:
        """Return what a class has for an exercise, such as ``1``, or None if it is for afterwards."""
        return next((int(row[0]) for row in self.whole if row[1].endswith(f": ex {exercise}")), None)


def numbers(named: str) -> list[int]:
    """Return the numbers in a text such as ``1, 3-5``."""
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", named):
        found += range(int(first), int(last or first) + 1)
    return found


def part(lesson: Lesson, slide: Slide) -> str:
    """Return the part of a lesson that a slide belongs to, in the words of a plan: ``3``, ``ex 1``, ``quiz``."""
    for key in ("quiz", "summary"):
        if key in slide.keys:
            return key
    if "exercise" in slide.keys:
        return f"ex {lesson.exercise(slide.one('exercise'))[0].split(' ')[1]}"
    return lesson.section(slide.cells[-1]).split(" ")[0] if slide.cells else "opening"
