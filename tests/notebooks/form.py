"""Rules for the form of a lesson, everything countable: each yields a sentence for what breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby, zip_longest
from pathlib import Path

from .density import DENSITY, quiz_has_choices
from .execute import unfenced
from .lesson import ROOT, Lesson, Section, outputs, tags, text

__all__ = ["DEEP", "FORM", "rules_for"]

Rule = Callable[[Lesson], Iterator[str]]

OBJECTIVES = ("explain", "build", "break", "fix")
EXERCISE = ("exercise", "check", "solution")
HEADING = re.compile(r"^##? ", re.MULTILINE)  # of the lesson or of a section


def prose_between_code(lesson: Lesson) -> Iterator[str]:
    """There are no more than two code cells in a row."""
    for kind, run in groupby(lesson.cells, key=lambda cell: cell.cell_type):
        if kind == "code" and len(cells := list(run)) > 2:
            yield f"{len(cells)} code cells in a row from {cells[0].id}"


def opening(lesson: Lesson) -> Iterator[str]:
    """It opens with its number, objectives, what you need, and minutes."""
    first = lesson.cells[0].source
    if not first.startswith(f"# {lesson.number} · "):
        yield f"the title does not start with '# {lesson.number} · '"
    yield from (f"no objective says '{verb}'" for verb in OBJECTIVES if not re.search(verb, first, re.IGNORECASE))
    if "need" not in first:
        yield "it does not say what you need"
    minutes = re.search(r"(\d+)(?: to \d+)? minutes", first)
    if minutes is None or not 60 <= int(minutes[1]) <= 90:
        yield "it does not say that it takes 60 to 90 minutes"


def pause(lesson: Lesson) -> Iterator[str]:
    """There is a good place to pause, between the third tenth and the seventh."""
    places = [index for index, cell in enumerate(lesson.cells) if "pause" in cell.source.lower().split("exercise")[0]]
    if not any(0.3 <= index / len(lesson.cells) <= 0.7 for index in places):
        yield "no cell in its middle says that this is a good place to pause"


def facts(lesson: Lesson) -> Iterator[str]:
    """The last code cell of each section asserts or shows something that is compared."""
    for section in lesson.sections[1:]:
        if section.code and (last := section.code[-1]):
            shown = outputs(last) and "nbval-ignore-output" not in tags(last)
            if not shown and "assert " not in last.source:
                yield f"'{section.title}' ends in {last.id}, which states nothing"


def exercises(lesson: Lesson) -> Iterator[str]:
    """Three exercises or more, each with a stub that is not yet right and a folded solution that passes."""
    cells = lesson.tagged(*EXERCISE)
    kinds = [next(iter(tags(cell) & set(EXERCISE))) for cell in cells]
    if len(cells) < 9:
        yield f"{len(cells) // 3} exercises"
    for cell, kind, expected in zip_longest(cells, kinds, EXERCISE * (-(-len(cells) // 3))):
        if kind != expected:
            yield f"{cell.id if cell else 'the end'} is tagged {kind!r}, expected {expected!r}"
            return
        if kind == "check" and not text(cell).startswith("not yet: "):
            yield f"the check of the stub in {cell.id} does not say 'not yet: …'"
        if kind == "solution" and not text(cell).startswith("passed: "):
            yield f"the solution in {cell.id} does not say 'passed: …'"
        if kind == "solution" and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"the solution in {cell.id} is not folded"


def reader_is_kept(lesson: Lesson) -> Iterator[str]:
    """A solution defines no name that its exercise defines: Run All never overwrites the reader's work."""
    names = re.compile(r"^(?:async )?(?:def|class) (\w+)|^(\w+) *=", re.MULTILINE)
    mine: set[str] = set()
    for cell in lesson.tagged("exercise", "solution"):
        defined = {"".join(pair) for pair in names.findall(cell.source)}
        if "exercise" in tags(cell):
            mine |= defined
        else:
            yield from (f"{cell.id} overwrites the reader's {name}" for name in sorted(defined & mine))


def quiz(lesson: Lesson) -> Iterator[str]:
    """Five questions, each with a folded answer."""
    folded = re.findall(r"<details>\s*<summary>.+?</summary>.+?</details>", lesson.section("quiz").prose, re.DOTALL)
    if len(folded) != 5:
        yield f"{len(folded)} folded answers below the heading 'Quiz'"


def ending(lesson: Lesson) -> Iterator[str]:
    """Five summary bullets, a synopsis, the file in server/ that packages the lesson, and what is next."""
    bullets = [line for line in lesson.section("summary").prose.splitlines() if re.match(r"[-*] ", line)]
    if len(bullets) != 5:
        yield f"{len(bullets)} bullets below the heading 'Summary'"
    if "```python" not in lesson.section("synopsis", "using this").prose:
        yield "no Python below the heading 'Synopsis'"
    if not any(f"server/{lesson.name}.py" in cell.source for cell in lesson.prose):
        yield f"no pointer to server/{lesson.name}.py"
    if not (ROOT / "server" / f"{lesson.name}.py").exists():
        yield f"server/{lesson.name}.py does not exist"
    if not any(re.search(r"\bnext\b", cell.source, re.IGNORECASE) for cell in lesson.prose[-3:]):
        yield "it does not say what is next"


def package(lesson: Lesson) -> Iterator[str]:
    """The finished form is imported from the module of the same name."""
    if not any(f"from server.{lesson.name} import" in cell.source for cell in lesson.code):
        yield f"nothing is imported from server.{lesson.name}"


def pictures(lesson: Lesson) -> Iterator[str]:
    """At least two pictures of the wire, each with a text twin, none of them drawn by hand."""
    drawn = [output.data for cell in lesson.code for output in outputs(cell) if _picture(output.get("data", {}))]
    if len(drawn) < 2:
        yield f"{len(drawn)} pictures"
    for data in drawn:
        if len(data.get("text/plain", "").splitlines()) < 3:
            yield f"the text twin of a picture is {data.get('text/plain')!r}"
        if not re.search(r"<title|aria-label=", _picture(data)):
            yield "a picture has no title"
    for cell in lesson.prose:
        if "<svg" in cell.source or "```mermaid" in cell.source or re.search(r"!\[\s*\]", cell.source):
            yield f"{cell.id} has a picture by hand, or one without alt text"


def _picture(data: Mapping[str, str]) -> str:
    """A picture of the wire, whose source is SVG, or a stepper, which is HTML; or nothing."""
    html = "".join(data.get("text/html", ""))
    return "".join(data.get("image/svg+xml", "")) or (html if 'class="stepper"' in html else "")


def in_your_browser(lesson: Lesson) -> Iterator[str]:
    """There is a live browser client, in a section that says so."""
    if not any("BrowserClient(" in cell.source for cell in lesson.section("browser").code):
        yield "no BrowserClient below a heading with 'browser'"


def failures(lesson: Lesson) -> Iterator[str]:
    """At least two cells fail on purpose."""
    failing = [cell for cell in lesson.code if "with expect(" in cell.source or "raises-exception" in tags(cell)]
    if len(failing) < 2:
        yield f"{len(failing)} deliberate failures"


def closing(lesson: Lesson) -> Iterator[str]:
    """The last code cell stops everything and asserts that nothing is left."""
    last = lesson.code[-1] if lesson.code else None
    if last is None or not all(part in last.source for part in ("stop_all()", "leftovers()", "assert ")):
        yield "the last code cell does not stop everything and assert that nothing is left"
    elif "nothing is left" not in text(last):
        yield "the last code cell does not show that nothing is left"


def titles(lesson: Lesson) -> Iterator[str]:
    """No two sections have the same heading."""
    seen: list[Section] = []
    for section in lesson.sections:
        if any(section.title == other.title for other in seen):
            yield f"the heading '{section.title}' is there twice"
        seen.append(section)


def slides(lesson: Lesson) -> Iterator[str]:
    """Every cell says what it is in the slides: a section opens a slide, and no solution is given away."""
    for cell in lesson.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind not in {"slide", "subslide", "-", "notes", "skip"}:
            yield f"{cell.id} has the slide type {kind!r}"
        if (kind == "slide") != (cell.cell_type == "markdown" and bool(HEADING.search(unfenced(cell.source)))):
            yield f"{cell.id} is {'a' if kind == 'slide' else 'no'} slide of its own"
        if tags(cell) & {"check", "solution"} and kind != "skip":
            yield f"{cell.id} is shown in the slides"


FORM = (
    prose_between_code,
    opening,
    pause,
    facts,
    exercises,
    reader_is_kept,
    quiz,
    ending,
    package,
    pictures,
    in_your_browser,
    failures,
    closing,
    titles,
    slides,
)
"""What every lesson keeps."""

DEEP = (facts, reader_is_kept, closing, titles, slides)
"""What a notebook keeps that lies deeper."""


def rules_for(path: Path) -> tuple[Rule, ...]:
    """The rules for the form of one notebook."""
    if path.parent.name == "deeper":
        return (*DEEP, *(rule for rule in DENSITY if rule is not quiz_has_choices))
    return (*FORM, *DENSITY)
