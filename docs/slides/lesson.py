"""What a deck takes from a lesson: cells by their ids, sections, predictions, exercises, the quiz."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))

Cell = Any
"""A `nbformat.NotebookNode`."""


def bars(cell: Cell) -> list[str]:
    """Return the bars that a cell has drawn, in words: ``requests: polling 5, WebSocket 1``, a text for each chart.

    Raises: ValueError if it has stored none.
    """
    for output in cell.get("outputs", []):
        if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
            return str(alt).split("; ")
    raise ValueError(f"{cell.id} has stored no bars; draw them with plot_transports or draw_bars")


@dataclass(frozen=True)
class Question:
    """A prediction, or a question of the quiz."""

    text: str
    choices: list[str]
    right: int
    """The place of the right choice, or -1 if the explanation names none."""
    explanation: str


class Lesson:
    """One notebook."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.cells: list[Cell] = nbformat.read(path, as_version=4).cells
        self.ids = [cell.id for cell in self.cells]

    def __getitem__(self, cell_id: str) -> Cell:
        if cell_id not in self.ids:
            raise KeyError(f"{self.name} has no cell {cell_id!r}; its outline names one that is gone")
        return self.cells[self.ids.index(cell_id)]

    @property
    def title(self) -> str:
        """The heading, such as ``01 · The handshake``."""
        return str(self.cells[0].source.splitlines()[0].removeprefix("# "))

    @property
    def promise(self) -> str:
        """What is true after the lesson, in bold in its first cell."""
        found = re.search(r"\*\*(.+?)\*\*(.*?)(?=\n\n)", self.cells[0].source, re.DOTALL)
        assert found, f"{self.name} promises nothing"
        return " ".join((found[1] + found[2]).split())

    def section(self, cell_id: str) -> str:
        """Return the title of the section that a cell is in, such as ``3 · What opens a WebSocket?``."""
        title = ""
        for cell in self.cells[: self.ids.index(cell_id) + 1]:
            if cell.cell_type == "markdown":
                title = (re.findall(r"^## (.+)", cell.source, re.MULTILINE) or [title])[-1]
        return title

    def between(self, first: str, last: str) -> list[Cell]:
        """Return the cells after the first one and before the last one."""
        return self.cells[self.ids.index(first) + 1 : self.ids.index(last)]

    def prediction(self, cell_id: str) -> Question:
        """Return the prediction that a cell asks."""
        quoted, _, folded = self[cell_id].source.partition("<details>")
        text, *choices = re.split(r"^> - \*\*\w\*\* ", quoted, flags=re.MULTILINE)
        return _question(text.replace("**Predict.**", ""), choices, _unfolded(folded))

    def quiz(self, cell_id: str) -> list[Question]:
        """Return the questions of the quiz."""
        quiz = re.split(r"^## ", self[cell_id].source, flags=re.MULTILINE)[1]
        questions = []
        for item in re.split(r"^\d\. ", quiz, flags=re.MULTILINE)[1:]:
            asked, _, folded = item.partition("<details>")
            text, *choices = re.split(r"^ +- \*\*\w\*\* ", asked, flags=re.MULTILINE)
            questions.append(_question(text, choices, _unfolded(folded)))
        return questions

    def summary(self, cell_id: str) -> list[str]:
        """Return the sentences of the summary."""
        found = re.search(r"^## Summary\n+(.+?)(?=\n\n)", self[cell_id].source, re.MULTILINE | re.DOTALL)
        assert found, f"{self.name}: {cell_id} has no summary"
        return [" ".join(one.split()) for one in re.split(r"^- ", found[1], flags=re.MULTILINE)[1:]]

    def exercise(self, cell_id: str) -> tuple[str, str]:
        """Return the title of an exercise, and what it asks for."""
        found = re.search(r"^### (Exercise \d.*?)\n(.*)", self[cell_id].source, re.MULTILINE | re.DOTALL)
        assert found, f"{self.name}: no exercise begins in {cell_id}"
        return found[1], found[2].strip()

    def stub(self, cell_id: str) -> Cell:
        """Return the cell that the reader writes, the first one below the beginning of an exercise."""
        below = self.cells[self.ids.index(cell_id) :]
        return next(cell for cell in below if "exercise" in cell.metadata.get("tags", []))


def printed(cell: Cell) -> str:
    """Return what a cell printed or returned as text."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(text.rstrip() for text in texts)


def _question(text: str, choices: list[str], explanation: str) -> Question:
    right = re.match(r"(?:<b>|\*\*)(\w)", explanation)
    return Question(
        _line(text), [_line(choice) for choice in choices], "abcd".index(right[1]) if right else -1, explanation
    )


def _line(text: str) -> str:
    return " ".join(re.sub(r"^>", "", text, flags=re.MULTILINE).split())


def _unfolded(folded: str) -> str:
    """Return what a fold hides, without its summary."""
    return re.sub(r"<summary>.*?</summary>|</?details>", "", folded.partition("</details>")[0]).strip()
