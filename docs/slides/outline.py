"""The plain text that says which cells of a lesson become slides.

A slide begins with ``## `` and its message. Below it stand lines ``key: value``; ``KEYS`` has them all. Every other
line is text that is shown: a slide has room for two.

A message that is a question, such as ``What does Ben hear?``, or a line of text that is one, makes a slide a
prediction: it is violet, and its output or chart comes with a key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEYS = {
    "code": "the ids of code cells: their code, and on a key what the last one printed; of a prediction: without that",
    "lines": "which of its lines are shown, such as 1-12",
    "steps": "which lines of the cell are lit, one step for each key: 1-3, 5, 7+9-10",
    "output": "with code: 'hidden', if a later slide has it; without: the ids of cells whose outputs are shown",
    "predict": "the id of the cell with the prediction",
    "shows": "the ids of the cells whose outputs prove a prediction, or belong to the code of another cell",
    "exercise": "the id of the cell that begins an exercise",
    "picture": "the id of a cell with a drawing, or a file below docs/teaching/images or notebooks/images",
    "cut": "what a drawing leaves out: handshake, or headers",
    "alt": "what a file shows, in words",
    "stepper": "the id of a cell with a stepper",
    "until": "of a stepper: its last step that a key takes",
    "table": "the id of a text cell: its first table, or the one that is named by its first heading, after a comma",
    "chart": "the id of a cell that draws bars: those that it has stored, with numbers to read from the last row",
    "quiz": "the id of the cell with the quiz: a slide for each question",
    "summary": "the id of the cell with the summary",
    "short": "of a summary: the points that the 90-minute deck keeps, such as 1-2, 4",
    "promise": "of the title: what the 90-minute deck promises, if it leaves out a part of the lesson's promise",
    "at": "the id of a cell in the section that the slide belongs to, if it names no other",
    "runs": "the ids of cells that are run at this slide, although they come later in the lesson",
    "skips": "the ids of cells that a class doesn't run",
    "first": "a line for the speaker's notes: a fact that somebody needs in order to answer this slide's question",
    "say": "a line for the speaker's notes",
}


@dataclass(frozen=True)
class Slide:
    """One slide of an outline."""

    title: str
    keys: dict[str, list[str]] = field(default_factory=dict)
    """Each key with its values; ``first`` and ``say`` may stand several times."""
    text: list[str] = field(default_factory=list)

    def one(self, key: str) -> str:
        """Return the only value of a key, or an empty text."""
        return self.keys[key][0] if key in self.keys else ""

    def ids(self, key: str) -> list[str]:
        """Return the values of a key that names several cells."""
        return re.split(r",\s*", self.one(key)) if key in self.keys else []

    @property
    def asks(self) -> bool:
        """Whether a class votes here: it is a prediction, or its title or a line of its text is a question.

        A table hides nothing, so its title may be a question.
        """
        asked = any(line.endswith("?") for line in [self.title, *self.text])
        return "predict" in self.keys or (asked and "table" not in self.keys)

    @property
    def cells(self) -> list[str]:
        """The ids of all cells that the slide names, the one that it is about last."""
        found = [self.one("at"), self.one("table").split(",")[0], *self.ids("code"), self.one("predict")]
        found += [self.one("exercise"), self.one("chart"), self.one("stepper"), self.one("quiz"), self.one("summary")]
        if "." not in self.one("picture"):
            found.append(self.one("picture"))
        shown = [] if self.one("code") else self.ids("output")
        return [one for one in [*found, *shown, *self.ids("shows")] if one]


def read(name: str) -> list[Slide]:
    """Return the slides of the lesson with this name, such as ``01-handshake``.

    Raises: ValueError for a key that is not in ``KEYS``.
    """
    slides: list[Slide] = []
    for line in (HERE / "outlines" / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            slides.append(Slide(line.removeprefix("## ")))
        elif slides and (found := re.match(r"(\w+): +(.+)", line)):
            if found[1] not in KEYS:
                raise ValueError(f"{name}: no key {found[1]!r}; use one of {', '.join(KEYS)}")
            slides[-1].keys.setdefault(found[1], []).append(found[2])
        elif slides and line.strip():
            slides[-1].text.append(line)
    return slides
