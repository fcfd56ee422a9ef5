"""The outlines of the slides name cells that are there, and leave out nothing that a class does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.slides import outline
from docs.slides.deck import Deck
from docs.slides.guide import Guide
from docs.slides.lesson import LESSONS, NOTEBOOKS, Lesson, bars
from docs.slides.plan import Plan, numbers, part

from .test_teaching import PLANS_IN, planned_names

per_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)


@per_lesson
def test_an_outline_names_cells_of_its_lesson_in_their_order(path: Path) -> None:
    """Whoever renames or moves a cell is told which slide was about it."""
    lesson = Lesson(path)
    slides = outline.read(path.stem)
    gone = {slide.title: one for slide in slides for one in slide.cells if one not in lesson.ids}
    assert gone == {}
    places = [lesson.ids.index(slide.cells[-1]) for slide in slides if slide.cells and "summary" not in slide.keys]
    assert places == sorted(places)


@per_lesson
def test_predictions_and_exercises_have_a_slide(path: Path) -> None:
    """A prediction that is added to a lesson is added to its deck."""
    lesson = Lesson(path)
    slides = outline.read(path.stem)
    predictions = {cell.id for cell in lesson.cells if "> **Predict.**" in cell.source}
    assert {slide.one("predict") for slide in slides} - {""} == predictions
    exercises = [cell.id for cell in lesson.cells if "### Exercise" in cell.source]
    assert [slide.one("exercise") for slide in slides if "exercise" in slide.keys] == exercises
    assert all(lesson.prediction(one).right >= 0 for one in predictions)


def _slides_of_parts(path: Path) -> dict[str, list[int]]:
    """The numbers of the slides of each part of a lesson; a question of the quiz has one of its own."""
    lesson = Lesson(path)
    slides: dict[str, list[int]] = {}
    for slide in outline.read(path.stem):
        for _ in lesson.quiz(slide.one("quiz")) if "quiz" in slide.keys else [slide]:
            slides.setdefault(part(lesson, slide), []).append(sum(map(len, slides.values())) + 1)
    return slides


def test_plans_for_several_lessons_name_the_slides_of_their_parts() -> None:
    """The teacher of half a day finds each slide by its number in the full deck."""
    slides = {path.stem[:2]: _slides_of_parts(path) for path in LESSONS}
    rows = re.findall(
        r"^\| \d+ \| ((\d\d): [^|]+) \| ([\d, -]+) \| ", PLANS_IN.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) > 15
    for planned, number, named in rows:
        assert numbers(named) == [one for name in planned_names(planned) for one in slides[number].get(name, [])], (
            planned
        )


@per_lesson
def test_a_plan_names_the_slides_of_its_parts(path: Path) -> None:
    """A row of the 90-minute plan names all slides of its parts; more of them, or a choice of the quiz, are its own."""
    guide = Guide(path.stem)
    slides = _slides_of_parts(path)
    plan = Plan(guide)
    for planned, named in plan.rows:
        of_parts = [number for name in planned_names(planned) for number in slides.get(name, [])]
        given = numbers(named.partition("+")[0])
        assert set(given) <= set(of_parts), planned
        assert {*of_parts} - {*given} <= {*slides.get("quiz", [])}, planned
    everything = {number for one in slides.values() for number in one}
    left_out = guide.text.partition("it leaves out slides ")[2].partition(", and keeps")[0]
    assert set(numbers(left_out)) == everything - plan.slides
    short = list(Deck(Lesson(path), outline.read(path.stem), short=True).slides())
    assert len(short) == len(plan.slides)


@per_lesson
def test_each_helper_is_explained_on_the_slide_that_uses_it_first(path: Path) -> None:
    """A teacher who opens the notes knows what a name in the code stands for."""
    deck = Deck(Lesson(path), outline.read(path.stem))
    slides = "\n".join(deck.slides())
    for name, what in deck.guide.rows("helper"):
        assert slides.count(f"<code>{name.strip('`')}</code>: ") == 1, f"{name}: {what}"


def test_an_unknown_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A typing error in an outline is named, and not shown on a slide."""
    (tmp_path / "outlines").mkdir()
    (tmp_path / "outlines" / "01-handshake.md").write_text("## One\ncoed: 1-can-3\n", encoding="utf-8")
    monkeypatch.setattr(outline, "HERE", tmp_path)
    with pytest.raises(ValueError, match="no key 'coed'"):
        outline.read("01-handshake")


def test_a_chart_has_the_numbers_that_the_lesson_stored() -> None:
    """A text for each chart; a cell without a plot has none."""
    lesson = Lesson(NOTEBOOKS / "05-notifications.ipynb")
    assert [chart.partition(":")[0] for chart in bars(lesson["8-is-all-this-necessary-4"])] == [
        "requests",
        "bytes on the wire",
        "ms until received (median)",
    ]
    with pytest.raises(ValueError, match="8-is-all-this-necessary-3 has stored no bars"):
        bars(lesson["8-is-all-this-necessary-3"])
