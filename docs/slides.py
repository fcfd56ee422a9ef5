"""Write the lessons as slides that need no network: ``python docs/slides.py build/slides``.

The cells say by their metadata (``slideshow.slide_type``) where a slide begins. A Markdown cell often ends one
section and opens the next, so it is cut at its headings, and again where a slide would be too full. What a cell puts
out comes with a click, after the prediction; a picture has a slide of its own. What stands in parentheses is said
and not shown: it goes to the speaker's notes.
"""

from __future__ import annotations

import math
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import SlidesExporter
from nbformat import v4

HERE = Path(__file__).resolve().parent
LESSONS = sorted((HERE.parent / "notebooks").glob("*.ipynb"))
REVEAL = files("sphinx_revealjs") / "_static" / "revealjs"

WIDTH, HEIGHT = 1150, 600  # pixels that a slide of 1280 by 720 has for code and pictures
GLYPH, LEADING = 0.605, 1.3  # width and height of a character of code, in units of its font
COLUMNS, LINES = 84, 12  # what a slide has room for in prose

Cell = Any
"""A `nbformat.NotebookNode`."""


def main(folder: Path) -> None:
    """Write a deck for each lesson into this folder, and reveal.js beside them."""
    exporter = SlidesExporter(
        extra_template_basedirs=[str(HERE)], template_name="slides", exclude_anchor_links=True, skip_svg_encoding=True
    )
    for name in ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js", "LICENSE"):
        (folder / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "reveal" / name).write_bytes((REVEAL / name).read_bytes())
    shutil.copy(HERE / "slides" / "deck.css", folder)
    for path in LESSONS:
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata.title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
        notebook.cells = list(cut(notebook.cells))
        deck, _ = exporter.from_notebook_node(notebook)
        (folder / f"{path.stem}.html").write_text(deck, encoding="utf-8")
        print(folder / f"{path.stem}.html")


def cut(cells: list[Cell]) -> Iterator[Cell]:
    """The cells, divided so that each slide has room; each knows the title of its section."""
    title, room = "", 0.0
    for cell in cells:
        for part in _parts(cell):
            slide = part.metadata.slideshow
            if heading := re.match(r"## (.+)", part.source):
                title = heading[1]
            elif slide.slide_type == "subslide" and _concludes(part) and height(part.source) < room:
                slide.slide_type = "fragment"
            elif slide.slide_type == "subslide" and title:
                slide.data = {"section": re.sub("[`*]", "", title)}
            room = part.metadata.get("room", 0.0)
            yield part


def _parts(cell: Cell) -> Iterator[Cell]:
    if cell.metadata.slideshow.slide_type in {"notes", "skip"}:
        yield cell
    else:
        yield from prose(cell) if cell.cell_type == "markdown" else code(cell)


def _concludes(part: Cell) -> bool:
    """Whether it says what was seen, and asks nothing new."""
    return part.cell_type == "markdown" and not part.source.startswith("#") and "**Predict**" not in part.source


def prose(cell: Cell) -> Iterator[Cell]:
    """A Markdown cell as slides, each followed by what is only said."""
    for section in re.split(r"^(?=##+ )", cell.source, flags=re.MULTILINE):
        kind = "subslide"
        if section.startswith(("# ", "## ")):
            kind = "slide"
        for page, said in pages(blocks(section)):
            yield v4.new_markdown_cell(page, metadata={"slideshow": {"slide_type": kind}})
            if said:
                yield v4.new_markdown_cell(said, metadata={"slideshow": {"slide_type": "notes"}})
            kind = "subslide"


def blocks(source: str) -> list[str]:
    """Paragraphs, lists, tables and fences; a heading or a lead-in belongs to what follows it."""
    found: list[str] = []
    together = False
    depth = 0  # of fences and folded answers, in which an empty line divides nothing
    for block in re.split(r"\n\s*\n", source.strip()):
        if found and (together or depth or (_lists(block) and len(found[-1].split()) < 25)):
            found[-1] += f"\n\n{block}"
        elif block:
            found.append(block)
        depth = (depth + block.count("```")) % 2 if "```" in block else depth
        depth += block.count("<details") - block.count("</details")
        together = block.startswith("#")
    return found


def _lists(block: str) -> bool:
    return block.startswith(("|", "- ", "1. ", "```", "* "))


def pages(found: list[str]) -> Iterator[tuple[str, str]]:
    """As many blocks as a slide has room for, and what is only said."""
    page: list[str] = []
    said: list[str] = []
    for block in found:
        if block.startswith("(") and block.endswith(")"):
            said.append(block)
            continue
        if page and sum(map(height, [*page, block])) > LINES:
            yield "\n\n".join(page), "\n\n".join(said)
            page, said = [], []
        page.append(block)
    if page or said:
        yield "\n\n".join(page), "\n\n".join(said)


def height(block: str) -> float:
    """How many lines of prose it takes, about."""
    lines = 0.0
    for paragraph in block.split("\n\n"):
        if "```" in paragraph:
            lines += 0.7 * len(paragraph.splitlines())
        elif paragraph.startswith("#"):
            lines += 2 if paragraph.startswith("##") else 3
        elif paragraph.startswith("|"):
            lines += sum(1.4 * math.ceil(len(row) / 100) for row in paragraph.splitlines()[1:])
        else:
            items = re.split(r"\n(?=[-*] |\d+\. |<details)", paragraph)
            lines += sum(0.4 + math.ceil(len(re.sub(r"</?\w+>", "", item)) / COLUMNS) for item in items) + 0.4
    return lines


def code(cell: Cell) -> Iterator[Cell]:
    """The code with what it prints, in a font that fits; then its pictures."""
    texts = [output for output in cell.outputs if not _picture(output)]
    pictures = [output for output in cell.outputs if _picture(output)]
    rows = _rows(cell.source)
    shown = [row for output in texts for row in _rows(_text(output))]
    font = fitting(rows, shown)
    cell.outputs = texts
    if shown and font < 17:
        yield _only([], source=cell.source, font=fitting(rows), kind=cell.metadata.slideshow.slide_type)
        cell = _only(texts, font=fitting(shown))
    else:
        cell.metadata.font = font
        cell.metadata.room = 0 if pictures else LINES - len(rows + shown) * font / 30  # below it, in lines of prose
    yield cell
    yield from (_only([_drawn(picture)]) for picture in pictures)


def _only(outputs: list[Any], source: str = "", font: float = 0, kind: str = "subslide") -> Cell:
    metadata = {"slideshow": {"slide_type": kind}, "font": font}
    return v4.new_code_cell(source, outputs=outputs, metadata=metadata)


def fitting(*parts: list[str]) -> float:
    """The size of the font in which these lines fit onto a slide, in pixels."""
    rows = [row for part in parts for row in part]
    columns = max(map(len, rows), default=1)
    padding = 26 * len(parts)
    return min(22, math.floor(min(WIDTH / columns / GLYPH, (HEIGHT - padding) / len(rows) / LEADING) * 10) / 10)


def _rows(text: str) -> list[str]:
    return text.rstrip().splitlines()


def _text(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def _picture(output: Any) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))


def _drawn(output: Any) -> Any:
    """With its alternative text; a picture too tall for a slide is shown in two columns."""
    drawing = re.search(r'aria-label="([^"]*)".*? width="(\d+)" height="(\d+)"', output.data.get("image/svg+xml", ""))
    output.metadata.alt = drawing[1] if drawing else "a plot; the next slide says what to see in it"
    output.metadata.halves = ["top", "bottom"] if drawing and int(drawing[3]) > 850 else ["whole"]
    if drawing:
        output.metadata.ratio = f"{drawing[2]} / {int(drawing[3]) * (0.53 if int(drawing[3]) > 850 else 1)}"
    return output


if __name__ == "__main__":
    main(Path(sys.argv[1]))
