"""The outlines of the slides name cells that are there, and leave out nothing that a class does."""

from __future__ import annotations

import ast
import re
from collections import Counter
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
        assert slides.count(f"<p><code>{name.strip('`')}</code>: ") == 1, f"{name}: {what}"


def _shown(lesson: Lesson, slide: outline.Slide) -> str:
    """The lines of code that a slide shows."""
    rows = "\n\n".join(lesson[one].source for one in slide.ids("code")).splitlines()
    first, _, last = slide.one("lines").partition("-")
    return "\n".join(rows[int(first or 1) - 1 : int(last or first or len(rows))])


def _own_names(lesson: Lesson) -> set[str]:
    """The names that a lesson defines, or imports from the course."""
    names: set[str] = set()
    for cell in lesson.cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else []:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("lab", "server"):
                names |= {one.asname or one.name for one in node.names}
            elif isinstance(node, ast.Assign):
                names |= {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and type(one.ctx) is ast.Store}
    return names


@per_lesson
def test_a_name_in_the_code_of_the_short_deck_is_shown_or_explained(path: Path) -> None:
    """A class isn't shown a call of something that the 90-minute plan has left out, and that nobody explains."""
    lesson = Lesson(path)
    deck = Deck(lesson, outline.read(path.stem), short=True)
    kept = [slide for number, slide in enumerate(deck.outline, 1) if number in deck.plan.slides]
    code = re.sub(r'"[^"\n]*"', '""', "\n".join(_shown(lesson, slide) for slide in kept if "code" in slide.keys))
    told = "\n".join("\n".join([*one.text, *one.keys.get("say", []), *one.keys.get("first", [])]) for one in kept)
    notes = "\n".join(deck.slides())
    unknown = []
    for name in _own_names(lesson) & set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", code)):
        shown = re.search(
            rf"(?:def|class|as) {name}\b|^ *{name} =|as \(.*\b{name}\b|def .*\b{name}\b.*:", code, re.MULTILINE
        )
        if not shown and f"`{name}`" not in told and f"<p><code>{name}</code>: " not in notes:
            unknown.append(name)
    assert unknown == []


@per_lesson
def test_an_exercise_has_one_duration_with_a_class(path: Path) -> None:
    """The slide of an exercise has the minutes of the plan, and the notes say what the guide's table counts."""
    deck = Deck(Lesson(path), outline.read(path.stem), short=True)
    slides = "\n".join(deck.slides())
    planned = [(row[0], re.findall(r": ex (\d)", row[1])) for row in deck.plan.whole]
    exercises = [(minutes, number) for minutes, numbered in planned for number in numbered]
    assert exercises
    for minutes, number in exercises:
        assert re.search(rf'<p class="where">Exercise {number} · [^<]+ · {minutes} minutes</p>', slides)
        assert f"Alone: <b>{deck.guide.minutes(f'exercise {number}')} minutes</b>" in slides


@per_lesson
def test_the_short_deck_counts_its_own_questions(path: Path) -> None:
    """No slide says "1 of 5" in a deck with four questions."""
    deck = Deck(Lesson(path), outline.read(path.stem), short=True)
    counted = re.findall(r'<p class="where">Quiz · (\d) of (\d)</p>', "\n".join(deck.slides()))
    assert counted == [(str(number), str(len(counted))) for number in range(1, len(counted) + 1)]


@per_lesson
def test_what_a_teacher_drops_or_tells_fits_the_plan(path: Path) -> None:
    """What "Short of time" names is in the 90 minutes; each section that isn't has its sentence."""
    lesson, guide = Lesson(path), Guide(path.stem)
    plan = Plan(guide)
    parts = {name for planned, _ in plan.rows for name in planned_names(planned)}
    (short,) = re.findall(r"^\*\*Short of time, in the 90 minutes:\*\* (.+?)\n\n", guide.text, re.MULTILINE | re.DOTALL)
    short = " ".join(short.split())
    named = [
        one for found in re.findall(r"[Ss]ections? (\d+(?:(?:, | and |, and )\d+)*)", short) for one in numbers(found)
    ]
    assert named
    assert {str(one) for one in named} <= parts
    assert {f"ex {one}" for one in re.findall(r"exercise (\d)", short)} <= parts
    slides = {one for found in re.findall(r"slides? (\d+(?:(?:, | and )\d+)*)", short) for one in numbers(found)}
    assert slides <= plan.slides
    sections = set(re.findall(r"^## (\d+) ·", "\n".join(cell.source for cell in lesson.cells), re.MULTILINE))
    told = re.findall(r"^- Section (\d+): ", guide.text.partition("**Left out of the 90 minutes,**")[2], re.MULTILINE)
    assert set(told) == {one for one in sections if one not in parts}


@per_lesson
def test_the_notes_of_the_short_deck_name_the_cells_that_a_teacher_runs(path: Path) -> None:
    """Each of them once, at a slide of the plan; none of a section or an exercise that the plan leaves out."""
    lesson = Lesson(path)
    deck = Deck(lesson, outline.read(path.stem), short=True)
    notes = "\n".join(deck.slides())
    named = re.findall(r"<code>(.*?)</code>", " ".join(re.findall(r"<b>[^<>]* ?[Rr]un:</b>(.*?)</p>", notes)))
    planned = {name for parts, _ in deck.plan.rows for name in planned_names(parts)}
    kept = deck.notes.kept
    assert kept is not None
    skipped = {one for slide in deck.outline for one in slide.ids("skips")}
    assert skipped <= set(lesson.ids)
    expected = []
    for cell in lesson.cells:
        exercise = re.match(r"exercise-(\d)", cell.id)
        if cell.cell_type != "code" or cell.id.startswith("synopsis-") or cell.id in skipped:
            continue
        if f"ex {exercise[1]}" in planned if exercise else lesson.section(cell.id) in kept:
            expected.append(cell.id)
    assert len(named) == len(expected), (named, expected)


@per_lesson
def test_the_notes_warn_of_what_answers_a_vote(path: Path) -> None:
    """The lesson's prose above a question is for the teacher alone, and that before one must not give it away."""
    slides = list(Deck(Lesson(path), outline.read(path.stem), short=True).slides())
    asked = ["Before they answer" in slide or "After their answers" in slide for slide in slides]
    alone = ["<b>What leads here, for you alone:</b>" in slide for slide in slides]
    before = ["<b>What leads here (don't give the next vote away):</b>" in slide for slide in slides]
    assert any(alone)
    assert any(before)
    assert all(asks for asks, marked in zip(asked, alone, strict=True) if marked)
    assert not any("<b>What leads here:</b>" in slide for slide, asks in zip(slides, asked, strict=True) if asks)


@per_lesson
def test_the_cells_that_a_teacher_runs_have_names_of_their_own(path: Path) -> None:
    """No two cells of a lesson have the same name in the notes, unless they are the same."""
    lesson = Lesson(path)
    names = Deck(lesson, outline.read(path.stem), short=True).notes.names
    different = {(name, lesson[one].source) for one, name in names.items()}
    assert [name for name, count in Counter(name for name, _ in different).items() if count > 1] == []


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


@per_lesson
def test_no_question_shows_its_answer(path: Path) -> None:
    """What the slide of a question is about comes with a key, and in the notes after the vote."""
    slides = [one for one in Deck(Lesson(path), outline.read(path.stem), short=True).slides() if "Predict · " in one]
    assert slides
    for slide in slides:
        shown, _, notes = slide.partition('<aside class="notes">')
        answers = re.findall(r'<(?:pre|div) class="(?:output|charts)([^"]*)"', shown)
        assert all("fragment" in classes for classes in answers), slide
        assert not re.search(r"After their answers, run:.*<b>Run:", notes, re.DOTALL), slide


def test_the_last_sentence_of_a_question_is_its_title() -> None:
    """The story that leads to it stands above, in smaller letters."""
    slides = list(Deck(Lesson(NOTEBOOKS / "05-notifications.ipynb"), outline.read("05-notifications")).slides())
    asked = next(slide for slide in slides if "it is killed" in slide and "Predict · " in slide)
    assert "<h2>How many times does Ana get this order?</h2>" in asked
    assert re.search(r'<p class="story">The server has just stored an order\..+over the same file\.</p><h2>', asked)
