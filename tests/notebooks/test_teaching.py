"""The teacher's guide and the glossary say what the lessons say, and the sums of the plans come out."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pytest

from .execute import unfenced
from .lesson import LESSONS, ROOT, Lesson, text
from .minutes import GUIDE, Part, parts, table, write

GLOSSARY = ROOT / "notebooks" / "GLOSSARY.md"
PLANS_IN = GUIDE / "README.md"
CHECKS = ROOT / "tests" / "lab" / "checks"
# bold in a lesson, and no term
EMPHASIS = {"predict", "predict.", "next", "explain", "build", "break", "fix", "notes", "no", "yes", "key", "keys"}
PLANS = {
    "90 minutes, for people": 90,
    "Half a day": 240,
    "The first": 420,
    "The second": 420,
}

lessons = {lesson.number: lesson for lesson in map(Lesson, LESSONS)}
per_lesson = pytest.mark.parametrize("number", list(lessons))


def _guide(number: str) -> str:
    return (GUIDE / f"{lessons[number].path.stem}.md").read_text(encoding="utf-8")


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


@per_lesson
def test_tables_and_solutions_are_those_of_the_lesson(number: str) -> None:
    """Whoever changes a lesson writes them anew: ``python -m tests.notebooks.minutes --write``."""
    assert write(lessons[number], _guide(number)) == _guide(number)
    assert table(lessons[number]) in _guide(number)


@per_lesson
def test_each_objective_has_its_exercise_and_its_question(number: str) -> None:
    """The objectives are those at the top of the lesson, and what they name is there."""
    goals = re.findall(r"^- \*\*(\w+)\*\* (.+(?:\n  .+)*)", lessons[number].cells[0].source, re.MULTILINE)
    rows = _rows(_guide(number), "objective")
    assert [row[0] for row in rows] == [_one_line(" ".join(goal)) for goal in goals]
    exercises = {part.name.split()[1] for part in parts(lessons[number]) if part.name.startswith("exercise")}
    named = {one for row in rows for one in row[1].split(", ")} - {"none"}
    assert named == exercises
    assert {one for row in rows for one in row[2].split(", ")} - {"none"} == {"1", "2", "3", "4", "5"}
    assert all(row[3] for row in rows)


@per_lesson
def test_wrong_answers_are_those_that_the_checks_know(number: str) -> None:
    """What a check says, in the guide, is what a test has seen it say; each exercise has its rows."""
    name = lessons[number].path.stem.partition("-")[2]
    seen = "\n".join(path.read_text(encoding="utf-8") for path in CHECKS.glob(f"test_{name}*.py"))
    rows = _rows(_guide(number), "exercise")
    assert [row[2] for row in rows if row[2] not in seen] == []
    exercises = {part.name.split()[1] for part in parts(lessons[number]) if part.name.startswith("exercise")}
    assert all(count >= 2 for count in Counter(row[0] for row in rows).values())
    assert {row[0] for row in rows} == exercises


@pytest.mark.skipif(not shutil.which("git") or not shutil.which("sh"), reason="the mail's lines for Linux and macOS")
def test_the_weekly_mail_keeps_the_answers_of_every_week(tmp_path: Path) -> None:
    """Its second line sets all lessons back, so a copy of next week must not replace the answers of this one."""
    mail = re.findall(
        r"^     (mkdir -p .+)\n     (git checkout notebooks) && git pull$", PLANS_IN.read_text(encoding="utf-8"), re.M
    )
    ((copy, back),) = mail
    sheet = tmp_path / "notebooks" / "01-handshake.ipynb"
    sheet.parent.mkdir()
    sheet.write_text("clean", encoding="utf-8")
    commit = "git init -q . && git add . && git -c user.name=a -c user.email=a@example.com commit -q -m all"
    subprocess.run(["sh", "-c", commit], cwd=tmp_path, check=True)
    sheet.write_text("my answers", encoding="utf-8")
    for week in ("02", "03"):
        subprocess.run(["sh", "-c", f"{copy.replace('02', week)} && {back}"], cwd=tmp_path, check=True)
    assert "my answers" in [kept.read_text(encoding="utf-8") for kept in tmp_path.glob("answers/**/*.ipynb")]


@per_lesson
def test_minutes_are_those_of_the_lesson(number: str) -> None:
    """What a lesson says at its top is what it takes, give or take an eighth, exercises included."""
    said = re.search(r"(\d+) minutes", lessons[number].cells[0].source)
    assert said
    counted = sum(one.minutes for one in parts(lessons[number]))
    assert abs(counted - int(said[1])) <= int(said[1]) / 8


@per_lesson
def test_each_prediction_has_its_row(number: str) -> None:
    """The teacher has a question, and an answer to the wrong prediction, for every cell that surprises."""
    predictions = {one.name.split()[0]: one.predictions for one in parts(lessons[number]) if one.predictions}
    rows = _rows(_guide(number), "section")
    assert Counter(row[0] for row in rows) == predictions
    assert all(len(row) == 5 and all(row) for row in rows)


@per_lesson
def test_what_a_cell_shows_is_quoted_from_it(number: str) -> None:
    """The guide promises nothing that the lesson does not show."""
    for section, _, shows, *_ in _rows(_guide(number), "section"):
        quoted = re.findall(r"`(.+?)`", shows)
        assert quoted, f"section {section}: {shows!r} quotes nothing"
        assert [one for one in quoted if _one_line(one) not in _seen(lessons[number], section)] == []


@pytest.mark.parametrize(("heading", "minutes"), PLANS.items(), ids=PLANS)
def test_plan_has_time_for_its_parts(heading: str, minutes: int) -> None:
    """The minutes of a plan add up, with time to arrive, ten minutes of slack, and enough for each part."""
    guide = PLANS_IN.read_text(encoding="utf-8")
    (level,) = (len(marks) for marks in re.findall(rf"^(#+) {heading}", guide, re.MULTILINE))
    _check_plan(_rows(_below(heading, level, guide), "minutes"), minutes)


@per_lesson
def test_a_lesson_fits_a_class_of_90_minutes(number: str) -> None:
    """The guide to a lesson has a plan for it, as good as the plans for days."""
    _check_plan(_rows(_below("90 minutes with a class", 2, _guide(number)), "minutes"), 90)


def _check_plan(rows: list[list[str]], minutes: int) -> None:
    """Assert that a part has a third more than one person needs, give or take a minute, and begins when it says."""
    assert sum(int(row[0]) for row in rows) == minutes
    begins = [0, *accumulate(int(row[0]) for row in rows)]
    assert [row[-2] for row in rows] == [f"{at // 60}:{at % 60:02}" for at in begins[:-1]]
    assert int(rows[0][0]) >= 5
    assert rows[0][-1].startswith("Arriving")
    assert sum(int(row[0]) for row in rows if row[-1].startswith("Slack")) >= 10
    for given, planned, what in ((row[0], row[1], row[-1]) for row in rows):
        if planned:
            needed = sum(part.minutes for part in _planned(planned)) * 4 / 3
            assert int(given) >= needed - 1, f"{what} needs {needed:.0f} minutes"


def _planned(planned: str) -> list[Part]:
    """The parts that a row of a plan names: ``04: opening, 1 to 3, ex 1``."""
    number, _, names = planned.partition(": ")
    here = {re.sub(r"exercise", "ex", one.name.lower()).split(" · ")[0]: one for one in parts(lessons[number])}
    return list(here.values()) if names == "all" else [here[one] for one in planned_names(planned)]


def planned_names(planned: str) -> list[str]:
    """Return the names of the parts in a row of a plan: ``opening``, ``1``, ``2``, ``3``, ``ex 1``."""
    wanted: list[str] = []
    names = planned.partition(": ")[2]
    if not names:
        return wanted
    for name in names.split(", "):
        kind, first, last = re.fullmatch(r"(ex )?(\w+)(?: to (\d+))?", name).groups("")  # type: ignore[union-attr]
        last = last or first
        numbers = map(str, range(int(first), int(last) + 1)) if first.isdecimal() else [first]
        wanted += [f"{kind}{one}" for one in numbers]
    return wanted


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
        _one_line(one).lower().strip(":.")
        for cell in lessons[number].prose
        for one in re.findall(r"\*\*(.+?)\*\*", unfenced(cell.source), re.DOTALL)
        if not one.startswith("After this lesson")
    }
    assert {one for one in bold - EMPHASIS if not any(one.startswith(term) or one in term for term in terms)} == set()
