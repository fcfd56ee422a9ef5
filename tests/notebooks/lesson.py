"""A notebook as the rules read it: its cells, its sections, and what is stored below them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["DEEPER", "LESSONS", "ROOT", "Cell", "Lesson", "Section", "outputs", "tags", "text", "words"]

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DEEPER = sorted((ROOT / "notebooks" / "deeper").glob("*.ipynb"))

Cell = Any
"""A `nbformat.NotebookNode`."""


@dataclass
class Section:
    """What stands below one heading of level two."""

    title: str
    prose: str = ""
    code: list[Cell] = field(default_factory=list)


class Lesson:
    """One notebook, read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number, _, self.name = path.stem.partition("-")
        self.file = path.read_text(encoding="utf-8")
        self.notebook: Any = nbformat.reads(self.file, as_version=4)
        self.cells: list[Cell] = self.notebook.cells

    @property
    def code(self) -> list[Cell]:
        """The code cells."""
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> list[Cell]:
        """The Markdown cells."""
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    def tagged(self, *wanted: str) -> list[Cell]:
        """The code cells with one of these tags, in their order."""
        return [cell for cell in self.code if tags(cell) & set(wanted)]

    @cached_property
    def sections(self) -> list[Section]:
        """The notebook, cut at its headings of level two; the first section is what comes before them."""
        sections = [Section("")]
        for cell in self.cells:
            if cell.cell_type == "code":
                sections[-1].code.append(cell)
                continue
            before, *parts = re.split(r"^## +(.+)\n?", cell.source, flags=re.MULTILINE)
            sections[-1].prose += f"{before}\n"
            sections += [
                Section(title.strip(), f"{prose}\n") for title, prose in zip(parts[::2], parts[1::2], strict=True)
            ]
        return sections

    def section(self, *titles: str) -> Section:
        """The section whose heading has one of these words; an empty one when there is none."""
        pattern = re.compile("|".join(titles), re.IGNORECASE)
        return next((section for section in self.sections if pattern.search(section.title)), Section("(missing)"))


def tags(cell: Cell) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def words(cell: Cell) -> int:
    """How many words a cell has."""
    return len(cell.source.split())


def outputs(cell: Cell) -> list[Any]:
    """What is stored below a cell; nothing for Markdown."""
    return list(cell.get("outputs", []))


def text(cell: Cell) -> str:
    """All that a reader can read below a cell: streams, values, pictures and errors."""
    parts = []
    for output in outputs(cell):
        parts.append(output.get("text", ""))
        parts += [value for mime, value in output.get("data", {}).items() if mime.startswith(("text/", "image/svg"))]
        parts += output.get("traceback", [])
    return "\n".join(part for part in parts if part)
