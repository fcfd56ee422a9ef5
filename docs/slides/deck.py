"""A deck: the slides of an outline as HTML, with what each needs from the lesson and the guide."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path

from markdown_it import MarkdownIt

from . import code, drawings
from .guide import TEACHING, Guide
from .lesson import NOTEBOOKS, Cell, Lesson, Question, bars, printed
from .notes import Notes
from .outline import Slide
from .plan import Plan, numbers

NOT_PLANNED = "<p>Not in the 90-minute plan.</p>"
BEGIN = (
    "First select the cell with `{name}`: *Run → Run All Above Selected Cell*. "
    "Write, run your cell, and run the check below it."
)
TOLD = 90  # pixels that this takes, and that the text of an exercise takes more than other text
GIVEN = 24  # pixels: the letters of the code that a question or an exercise is about
STEP = '<i class="fragment step"></i>'
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


class Deck:
    """The slides of one lesson; a short deck has those of the 90-minute plan, with the same numbers."""

    def __init__(self, lesson: Lesson, outline: list[Slide], *, short: bool = False) -> None:
        self.lesson = lesson
        self.outline = outline
        self.short = short
        self.guide = Guide(lesson.name)
        self.plan = Plan(self.guide)
        planned = {number for number in self.plan.slides if number <= len(outline)}
        kept = {lesson.section(outline[number - 1].cells[-1]) for number in planned if outline[number - 1].cells}
        self.notes = Notes(lesson, self.guide, outline, self.plan, kept if short else None)

    def minutes(self, exercise: str) -> int:
        """Return a class's minutes for an exercise, such as ``Exercise 1``: the plan's, or the table's and a third."""
        planned = self.plan.minutes(exercise.split(" ")[1])
        return planned or round(int(self.guide.minutes(exercise)) * 4 / 3)

    def slides(self) -> Iterator[str]:
        """Return each slide as a ``<section>`` that knows its number in the full deck."""
        for number, section in enumerate(self._all(), 1):
            numbered = section.replace("<section", f'<section data-number="{number}"', 1)
            if number in self.plan.slides:
                yield numbered
            elif not self.short:
                yield numbered.replace('<aside class="notes">', f'<aside class="notes">{NOT_PLANNED}', 1)

    def _all(self) -> Iterator[str]:
        """Each slide of the full deck."""
        number = 1  # a question of the quiz has one of its own
        for place, slide in enumerate(self.outline):
            notes = self.notes.of(place, number)
            if "quiz" in slide.keys:
                sections = self._quiz(slide, number)
            elif place == 0:
                sections = [self._title(slide, notes)]
            else:
                sections = [self._section(slide, notes)]
            number += len(sections)
            yield from sections

    def _title(self, slide: Slide, notes: str) -> str:
        number, _, name = self.lesson.title.partition(" · ")
        promise = (self.short and slide.one("promise")) or self.lesson.promise
        return _slide(
            "title",
            f'<div><p class="number">Lesson {number}</p><h1>{name}</h1>'
            f'<p class="promise">{_inline(promise)}</p><p class="fields">'
            '<span class="field" data-name="author" data-hint="Your name" contenteditable></span>'
            '<span class="field" data-name="date" data-hint="Date" contenteditable></span></p></div>'
            + self._picture(slide),
            notes,
        )

    def _section(self, slide: Slide, notes: str) -> str:
        kind = next((key for key in ("predict", "exercise", "summary") if key in slide.keys), "plain")
        kind = "asks" if kind == "plain" and self._asks(slide) else kind
        if kind == "predict":
            return self._prediction(slide, notes)
        parts = [f'<p class="say">{_inline(line)}</p>' for line in slide.text]
        if "exercise" in slide.keys and "code" in slide.keys:
            parts.append(self._source(slide))
        elif "code" in slide.keys:
            parts.append(self._code(slide))
        elif "output" in slide.keys:
            parts.append(
                code.output([printed(self.lesson[one]) for one in slide.ids("output")], hidden=bool(slide.text))
            )
        if "exercise" in slide.keys:
            stub = self.lesson.stub(slide.one("exercise")).source
            parts.append(code.block(stub, code.fitting(stub.splitlines(), [], _taken(slide) + TOLD)))
            parts.append(f'<p class="begin">{_inline(BEGIN.format(name=_defined(stub)))}</p>')
        if "picture" in slide.keys:
            parts.append(self._picture(slide))
        if "stepper" in slide.keys:
            parts.append(self._stepper(slide))
        if "table" in slide.keys:
            parts.append(self._table(slide.one("table")))
        if "chart" in slide.keys:
            charts = bars(self.lesson[slide.one("chart")])
            fragment = " fragment" if kind == "asks" else ""
            parts.append(f'<div class="charts{fragment}">{"".join(map(_chart, charts))}</div>')
        if "summary" in slide.keys:
            points = self.lesson.summary(slide.cells[-1])
            kept = numbers(slide.one("short")) if self.short else []
            items = "".join(
                f'<li class="fragment">{_inline(point)}</li>'
                for number, point in enumerate(points, 1)
                if not kept or number in kept
            )
            parts.append(f"<ul>{items}</ul>")
        where = self._where(slide)
        if kind == "asks":
            where, kind = f"Predict · {where}", kind + _size(slide.title)
        return _slide(kind, _body(where, _inline(slide.title), "".join(parts)), notes)

    def _where(self, slide: Slide) -> str:
        title = self.lesson.section(slide.cells[-1]) if slide.cells else ""
        if "exercise" in slide.keys:
            name, _ = self.lesson.exercise(slide.one("exercise"))
            title = f"{name} · {self.minutes(name)} minutes"
        if "summary" in slide.keys:
            title = "Summary"
        return _inline(title)

    def _asks(self, slide: Slide) -> bool:
        """Whether a slide asks what its hidden output will be, so that it looks like a prediction."""
        if "code" in slide.keys:
            return slide.asks and "output fragment" in self._code(slide)
        return slide.asks and ("output" in slide.keys or "chart" in slide.keys)

    def _source(self, slide: Slide) -> str:
        """The code that a question or an exercise is about."""
        return code.block("\n\n".join(self.lesson[one].source for one in slide.ids("code")), GIVEN)

    def _code(self, slide: Slide) -> str:
        cells = [self.lesson[one] for one in slide.ids("code")]
        cell = cells[-1]
        shown = "" if slide.one("output") == "hidden" or _drawn(cell) else printed(cell)
        if "shows" in slide.keys:
            shown = "\n".join(printed(self.lesson[one]) for one in slide.ids("shows"))
        try:
            source = "\n\n".join(one.source for one in cells)
            return code.cell(source, shown, slide.one("lines"), slide.one("steps"), _taken(slide))
        except ValueError as error:
            raise ValueError(f"{self.lesson.name}, {slide.title!r}: {error}") from error

    def _prediction(self, slide: Slide, notes: str) -> str:
        question = self.lesson.prediction(slide.one("predict"))
        proof = [printed(self.lesson[one]) for one in slide.ids("shows")]
        context = "".join(f'<p class="say">{_inline(line)}</p>' for line in slide.text)
        if "code" in slide.keys:
            context += self._source(slide)
        return _asked(
            "predict", f"Predict · {self._where(slide)}", question, notes, answer=code.proof(proof), context=context
        )

    def _quiz(self, slide: Slide, first: int) -> list[str]:
        """A slide for each question; in the short deck those of the plan are counted, and the others are left out."""
        questions = self.lesson.quiz(slide.one("quiz"))
        numbered = range(first, first + len(questions))
        counted = [number for number in numbered if not self.short or number in self.plan.slides]
        slides = []
        for number, question in zip(numbered, questions, strict=True):
            where = f"Quiz · {counted.index(number) + 1} of {len(counted)}" if number in counted else ""
            answer = f'<p class="fragment why" data-fragment-index="0">{_inline(question.explanation)}</p>'
            asked = f"<p>Question {number - first + 1} of the lesson's quiz. Ask for hands, then press the key.</p>"
            notes = f"{asked}{self.notes.row(number)}{MARKDOWN.render(question.explanation)}"
            slides.append(_asked("quiz", where, question, notes, answer=answer))
        return slides

    def _picture(self, slide: Slide) -> str:
        name = slide.one("picture")
        if "." not in name:
            svg = next(
                output.data["image/svg+xml"]
                for output in self.lesson[name].outputs
                if "image/svg+xml" in output.get("data", {})
            )
            told = " ".join(re.findall(r"<(?:title|desc)>(.*?)</(?:title|desc)>", svg, re.DOTALL))
            return drawings.image(drawings.without(svg, slide.one("cut")), unescape(told))
        path = next(folder / name for folder in (TEACHING / "images", NOTEBOOKS / "images") if (folder / name).exists())
        return _file(path, slide.one("alt"))

    def _stepper(self, slide: Slide) -> str:
        cell = self.lesson[slide.one("stepper")]
        html = next(output.data["text/html"] for output in cell.outputs if "data" in output)
        html = re.sub(r" <span>click, or press Tab[^<]*</span>", "", html)  # here the keys of the deck take its steps
        first, _, later = html.partition(" checked>")
        steps = later.count("<input")
        if "until" in slide.keys:
            steps = int(slide.one("until")) - first.count("<input")
        live = "live large" if "frame, " in html else "live"  # a frame has few bytes, a handshake many lines
        return f'<div class="{live}">{html}</div>{"".join([STEP] * steps)}'

    def _table(self, named: str) -> str:
        cell_id, _, heading = named.partition(", ")
        tables = re.findall(r"^\|.+\n\|[-|]+\|\n(?:\|.*(?:\n|\Z))+", self.lesson[cell_id].source, re.MULTILINE)
        table = next(one for one in tables if one[1:].strip().startswith(heading))
        html = str(MARKDOWN.render(table))
        return html.replace("<table>", '<table class="dense">') if len(table) > 450 else html


def _asked(kind: str, where: str, question: Question, notes: str, *, answer: str, context: str = "") -> str:
    """A slide with a question; a key shows which choice is right, and the answer."""
    choices = "".join(
        f'<li class="fragment custom {"right" if number == question.right else "wrong"}" data-fragment-index="0">'
        f"<b>{'abcd'[number]}</b><span>{_inline(choice)}</span></li>"
        for number, choice in enumerate(question.choices)
    )
    story, asked = _parted(question.text)
    body = _body(where, _inline(asked), f'{context}<ul class="choices">{choices}</ul>{answer}', _inline(story))
    return _slide(kind + _size(asked), body, notes)


def _parted(question: str) -> tuple[str, str]:
    """Return the story that leads to a question, which may be empty, and the question itself, the last sentence."""
    story, _, asked = question.rpartition(". ")
    return (f"{story}.", asked) if story and asked.endswith("?") else ("", question)


def _size(question: str) -> str:
    """Return the class of a question that is too long for the largest letters."""
    return " longer" if len(question) > 100 else " long" if len(question) > 76 else ""


def _body(where: str, heading: str, content: str, story: str = "") -> str:
    lead = f'<p class="story">{story}</p>' if story else ""
    return f'<p class="where">{where}</p>{lead}<h2>{heading}</h2><div class="content">{content}</div>'


def _slide(kind: str, body: str, notes: str) -> str:
    return f'<section class="{kind}"><div class="body">{body}</div><aside class="notes">{notes}</aside></section>'


def _defined(stub: str) -> str:
    """The name by which a reader finds the cell of an exercise: what it defines."""
    found = re.search(r"^(?:async )?(?:def|class) (\w+)|^(\w+) =", stub, re.MULTILINE)
    assert found, f"nothing is defined in {stub!r}"
    return found[1] or found[2]


def _taken(slide: Slide) -> int:
    """The pixels that a long heading and lines of text take from the code."""
    lines = sum(-(-len(line) // 80) for line in slide.text)
    heading = 64 * (len(slide.title) > 44) + 24 if slide.title.endswith("?") else 46 * (len(slide.title) > 48)
    return 40 * lines + 14 * len(slide.text) + heading


def _chart(line: str) -> str:
    """A bar for each number; a number needs no axis when it is written beside its bar."""
    title, _, rows = line.partition(": ")
    values = {name: number for name, _, number in (row.rpartition(" ") for row in rows.split(", "))}
    sizes = {name: float(number.replace(",", "")) for name, number in values.items()}
    drawn = "".join(
        f'<span>{escape(name)}</span><i style="width: {100 * sizes[name] / max(sizes.values()):.1f}%"></i>'
        f"<b>{number}</b>"
        for name, number in values.items()
    )
    return f'<figure><figcaption>{escape(title)}</figcaption><div class="bars">{drawn}</div></figure>'


def _file(path: Path, alt: str) -> str:
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    source = base64.b64encode(path.read_bytes()).decode()
    return f'<div class="picture"><img alt="{escape(alt)}" src="data:image/{kind};base64,{source}"></div>'


def _drawn(cell: Cell) -> bool:
    return any(mime != "text/plain" for output in cell.outputs for mime in output.get("data", {}))


def _inline(text: str) -> str:
    return str(MARKDOWN.renderInline(text))
