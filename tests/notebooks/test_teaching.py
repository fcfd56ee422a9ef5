"""The teacher's guide and the glossary say what the lessons say, and the sums of the plans come out."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from .execute import unfenced
from .lesson import LESSONS, Lesson, text
from .minutes import GUIDE, Part, parts, table, write

GLOSSARY = GUIDE.with_name("GLOSSARY.md")
# bold in a lesson, and no term
EMPHASIS = {"predict", "next", "explain", "build", "break", "fix", "notes", "no", "yes", "key", "keys"}
PLANS = {
    "90 minutes, for people": 90,
    "90 minutes, lesson 04": 90,
    "Half a day": 240,
    "The first": 420,
    "The second": 420,
}

lessons = {lesson.number: lesson for lesson in map(Lesson, LESSONS)}
per_lesson = pytest.mark.parametrize("number", list(lessons))


def _below(heading: str, level: int, source: str) -> str:
    """What stands below a heading, up to the next one that is not deeper."""
    found = re.search(rf"^{'#' * level} {re.escape(heading)}.*?\n(.*?)(?=^#{{1,{level}}} |\Z)", source, re.M | re.S)
    assert found, f"no heading {heading!r}"
    return found[1]


def _rows(source: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column has this title."""
    found = re.search(rf"^\| {first} \|.*\n\|[-|]+\|\n((?:\|.*\n)*)", source, re.MULTILINE)
    assert found, f"no table of {first!r}"
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in found[1].splitlines()]


def _seen(lesson: Lesson, section: str) -> str:
    """All that a reader can read in a section of this number, in the cells and below them, on one line."""
    (found,) = (one for one in lesson.sections if one.title.startswith(f"{section} ·"))
    return _one_line("\n".join([found.prose, *(cell.source + "\n" + text(cell) for cell in found.code)]))


def _one_line(source: str) -> str:
    return " ".join(source.split())


def test_tables_are_counted_in_the_lessons() -> None:
    """Whoever changes a lesson writes the tables anew: ``python -m tests.notebooks.minutes --write``."""
    guide = GUIDE.read_text(encoding="utf-8")
    assert write(guide) == guide
    assert all(table(lesson) in guide for lesson in lessons.values())


@per_lesson
def test_minutes_without_the_exercises_are_those_of_the_lesson(number: str) -> None:
    """What a lesson says at its top is what reading, predicting and running it takes, give or take an eighth."""
    said = re.search(r"(\d+) minutes", lessons[number].cells[0].source)
    assert said
    counted = sum(one.minutes for one in parts(lessons[number]) if not one.name.startswith("exercise"))
    assert abs(counted - int(said[1])) <= int(said[1]) / 8


@per_lesson
def test_each_prediction_has_its_row(number: str) -> None:
    """The teacher has a question, and an answer to the wrong prediction, for every cell that surprises."""
    predictions = {one.name.split()[0]: one.predictions for one in parts(lessons[number]) if one.predictions}
    rows = _rows(_below(f"{number} ·", 2, GUIDE.read_text(encoding="utf-8")), "section")
    assert Counter(row[0] for row in rows) == predictions
    assert all(len(row) == 5 and all(row) for row in rows)


@per_lesson
def test_what_a_cell_shows_is_quoted_from_it(number: str) -> None:
    """The guide promises nothing that the lesson does not show."""
    for section, _, shows, *_ in _rows(_below(f"{number} ·", 2, GUIDE.read_text(encoding="utf-8")), "section"):
        quoted = re.findall(r"`(.+?)`", shows)
        assert quoted, f"section {section}: {shows!r} quotes nothing"
        assert [one for one in quoted if _one_line(one) not in _seen(lessons[number], section)] == []


@pytest.mark.parametrize(("heading", "minutes"), PLANS.items(), ids=PLANS)
def test_plan_has_time_for_its_parts(heading: str, minutes: int) -> None:
    """The minutes of a plan add up, and a part has a third more than one person needs, give or take a minute."""
    guide = GUIDE.read_text(encoding="utf-8")
    (level,) = (len(marks) for marks in re.findall(rf"^(#+) {heading}", guide, re.MULTILINE))
    rows = _rows(_below(heading, level, guide), "minutes")
    assert sum(int(row[0]) for row in rows) == minutes
    for given, planned, what in rows:
        if planned:
            needed = sum(part.minutes for part in _planned(planned)) * 4 / 3
            assert int(given) >= needed - 1, f"{what} needs {needed:.0f} minutes"


def _planned(planned: str) -> list[Part]:
    """The parts that a row of a plan names: ``04: opening, 1 to 3, ex 1``."""
    number, _, names = planned.partition(": ")
    here = {re.sub(r"exercise", "ex", one.name.lower()).split(" · ")[0]: one for one in parts(lessons[number])}
    if names == "all":
        return list(here.values())
    wanted = []
    for name in names.split(", "):
        kind, first, last = re.fullmatch(r"(ex )?(\w+)(?: to (\d+))?", name).groups("")  # type: ignore[union-attr]
        last = last or first
        numbers = map(str, range(int(first), int(last) + 1)) if first.isdecimal() else [first]
        wanted += [f"{kind}{one}" for one in numbers]
    return [here[one] for one in wanted]


def _terms() -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in _rows(GLOSSARY.read_text(encoding="utf-8"), "term")}


def test_terms_are_in_order_and_short() -> None:
    """A reader finds a term by the alphabet, and reads two sentences."""
    terms = _terms()
    assert list(terms) == sorted(terms, key=str.lower)
    assert [term for term, (what, *_) in terms.items() if not what.endswith(".") or what.count(". ") > 1] == []


def test_each_term_is_met_in_the_lesson_that_is_named() -> None:
    """Who looks a term up finds it in that lesson."""
    everything = {
        number: _one_line(" ".join(cell.source for cell in lesson.prose)).lower() for number, lesson in lessons.items()
    }
    wrong = []
    for term, (_, lesson, *_) in _terms().items():
        found = [number for number, prose in everything.items() if re.search(rf"\b{re.escape(term.lower())}", prose)]
        if lesson not in found:
            wrong.append(f"{term}: {lesson}, but {found}")
    assert wrong == []


@per_lesson
def test_terms_of_a_lesson_are_in_the_glossary(number: str) -> None:
    """What a lesson introduces in bold type can be looked up."""
    terms = [term.lower() for term in _terms()]
    bold = {
        _one_line(one).lower().strip(":")
        for cell in lessons[number].prose
        for one in re.findall(r"\*\*(.+?)\*\*", unfenced(cell.source), re.DOTALL)
        if not one.startswith("After this lesson")
    }
    assert {one for one in bold - EMPHASIS if not any(one.startswith(term) or one in term for term in terms)} == set()
