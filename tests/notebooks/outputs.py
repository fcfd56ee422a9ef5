"""Rules for what is stored in a lesson: each yields a sentence for what breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import nbformat

from . import execute
from .cells import top_level_names
from .lesson import Lesson, outputs, tags, text

__all__ = ["OUTPUTS"]

TAGS = {"exercise", "check", "solution", "raises-exception", "nbval-ignore-output"}
FEW = 4  # cells whose output is not compared, for timings and plots

CHANGING = {
    "a path of this machine": r"/(?:home|root|work|tmp|Users|private|usr)/",
    "a port": r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0)[:/'\", ]+\d{4,5}\b",
    "a date": r"\b(?:19|20)\d\d-\d\d-\d\d\b|\b\d\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) 20\d\d\b",
    "a time": r"\b\d\d:\d\d:\d\d\b",
    "an address in memory": r"\b0x[0-9a-f]{6,}\b",
}
KEY = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{22}==")


def executed(lesson: Lesson) -> Iterator[str]:
    """Every code cell was executed, in the order of the notebook: the strict re-run skips others."""
    counts = [cell.execution_count for cell in lesson.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"the cells were executed in the order {counts}"


def printed(lesson: Lesson) -> Iterator[str]:
    """What a cell prints is stored: the strict re-run skips cells without outputs."""
    for cell in lesson.code:
        if top_level_names(cell) & {"print", "display", "expect"} and not outputs(cell):
            yield f"{cell.id} prints, and nothing is stored"


def no_noise(lesson: Lesson) -> Iterator[str]:
    """Nothing is on stderr, and only cells that say so end in an error."""
    for cell in lesson.code:
        kinds = {output.get("name", output.output_type) for output in outputs(cell)}
        if "stderr" in kinds:
            yield f"{cell.id} writes to stderr"
        if ("error" in kinds) != ("raises-exception" in tags(cell)):
            yield f"{cell.id} has an error without the tag raises-exception, or the tag without an error"


def nothing_changes(lesson: Lesson) -> Iterator[str]:
    """Nothing that differs from run to run or from machine to machine is shown."""
    everything = "\n".join(cell.source for cell in lesson.cells)
    for cell in lesson.code:
        shown = text(cell)
        for what, pattern in CHANGING.items():
            if found := re.search(pattern, shown):
                yield f"{cell.id} shows {what}: {found[0]!r}"
        yield from (f"{cell.id} shows a key: {key!r}" for key in KEY.findall(shown) if key not in everything)


def no_machine(lesson: Lesson) -> Iterator[str]:
    """No source names a path of this machine."""
    for cell in lesson.cells:
        if found := re.search(CHANGING["a path of this machine"], cell.source):
            yield f"{cell.id} names {found[0]!r}"


def compared(lesson: Lesson) -> Iterator[str]:
    """Few outputs are not compared, and after each a compared cell states the conclusion."""
    ignored = lesson.tagged("nbval-ignore-output")
    if len(ignored) > FEW:
        yield f"{len(ignored)} outputs are not compared"
    for cell, following in pairwise([*lesson.code, None]):
        if cell in ignored and (following is None or following in ignored or not outputs(following)):
            yield f"after {cell.id} no compared cell states the conclusion"


def known_tags(lesson: Lesson) -> Iterator[str]:
    """Only the tags of the house are used, and no comment switches the comparison off."""
    for cell in lesson.code:
        yield from (f"{cell.id} has the tag {tag!r}" for tag in sorted(tags(cell) - TAGS))
        if "nbval" in cell.source.lower():
            yield f"{cell.id} speaks to nbval in its source"


def plots(lesson: Lesson) -> Iterator[str]:
    """A plot has its alternative text stored beside it, or the reader's own code draws it and the prose says it."""
    for cell in lesson.code:
        for output in outputs(cell):
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if "image/png" in output.get("data", {}) and not alt and "plt.show()" not in cell.source:
                yield f"the plot of {cell.id} has no alternative text"


def clean(lesson: Lesson) -> Iterator[str]:
    """The file is what execute.py writes: no times, no widget state, readable ids, normal form."""
    tidy = nbformat.reads(lesson.file, as_version=4)
    if nbformat.writes(execute.tidy(tidy)) + "\n" != lesson.file:
        yield "the file is not in normal form; run tests/notebooks/execute.py"
    ids = [cell.id for cell in lesson.cells]
    yield from (f"the id {one!r} is there twice" for one in sorted({one for one in ids if ids.count(one) > 1}))


OUTPUTS = (executed, printed, no_noise, nothing_changes, no_machine, compared, known_tags, plots, clean)
