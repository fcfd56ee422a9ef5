"""Code and outputs in the largest letters that fit, with steps that light some of the lines."""

from __future__ import annotations

import re
import textwrap
from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

WIDTH, HEIGHT = 1140, 545  # pixels that a slide has for code and its output
SMALLEST, LARGEST, OUTPUT = 20, 34, 38  # pixels; the last is for an output that stands alone
UNFOLDED = 24  # pixels: rather than smaller than this, the lines of an output are folded
GLYPH, LEADING = 0.605, 1.35  # width and height of a character, in units of its font
BLANK = 0.5  # the height of an empty line of code, in lines
INDENT = 2  # characters by which the rest of a folded line is moved to the right, as in deck.css
PADDING = 34  # around a block, above and below


def cell(source: str, shown: str, lines: str, steps: str, taken: int) -> str:
    """Return code, and what it printed, which comes with a key.

    Raises: ValueError if letters of 20 pixels are too large for it.
    """
    rows = source.splitlines()
    first, last = _span(lines, len(rows))
    rows = textwrap.dedent("\n".join(rows[first - 1 : last])).splitlines()
    if outside := {number for step in _steps(steps) for number in step} - {*range(first, last + 1)}:
        raise ValueError(f"the steps light lines {sorted(outside)}, and the slide shows {first}-{last}")
    printed = shown.splitlines()
    font = fitting(rows, printed, taken)
    if steps and not shown:
        steps += ", all"  # at the end everything is lit again; an output does that by itself
    return block("\n".join(rows), font, steps, first) + (output([shown], font, hidden=True) if shown else "")


def fitting(rows: list[str], printed: list[str], taken: int = 0, largest: int = LARGEST) -> float:
    """Return the size of the letters in which code and output fit; a long line of the output is folded."""
    columns = max(map(len, rows), default=1)
    longest = max(map(len, printed), default=1)
    for font, fold in [
        *((font, False) for font in _fonts(largest, UNFOLDED)),
        *((font, True) for font in _fonts(largest)),
    ]:
        room = int(WIDTH / font / GLYPH)
        tall = sum(1 if row else BLANK for row in rows) + sum(_folded(row, room) for row in printed)
        height = tall * font * LEADING + PADDING * (2 if printed else 1) + taken
        if columns <= room and (fold or longest <= room) and height <= HEIGHT:
            return font
    raise ValueError(f"{len(rows)} lines of code and {len(printed)} of output are too many; show some of the lines")


def _folded(row: str, room: int) -> int:
    """Return how many lines a row of output takes where there is room for so many characters."""
    return 1 + max(0, -(-(len(row) - room) // (room - INDENT)))


def _fonts(largest: int, smallest: int = SMALLEST) -> list[float]:
    return [tenths / 10 for tenths in range(largest * 10, smallest * 10 - 1, -5)]


def block(source: str, font: float = 0, steps: str = "", first: int = 1) -> str:
    """Return code as HTML, each line a span; the steps are fragments that light lines."""
    font = font or fitting(source.splitlines(), [])
    html = highlight(source, PythonLexer(stripnl=False), HtmlFormatter(nowrap=True))
    rows = html.rstrip("\n").split("\n")
    spans = "".join(f'<span class="line" data-line="{first + number}">{row}</span>' for number, row in enumerate(rows))
    marks = "".join(f'<i class="fragment step" data-lines="{",".join(map(str, step))}"></i>' for step in _steps(steps))
    return f'<pre class="code" style="font-size: {font}px">{spans}</pre>{marks}'


def output(texts: list[str], font: float = 0, *, hidden: bool) -> str:
    """Return what cells printed; hidden, it comes with a key."""
    font = font or fitting([], [row for text in texts for row in [*text.splitlines(), ""]], largest=OUTPUT)
    kind = "output fragment" if hidden else "output"
    return "".join(f'<pre class="{kind}" style="font-size: {font}px">{_rows(text)}</pre>' for text in texts)


def proof(texts: list[str]) -> str:
    """Return what cells printed, below an answer that a key shows."""
    rows = "\n".join(texts)
    widest = max(map(len, rows.splitlines()), default=0)
    font = next((font for font in _fonts(UNFOLDED) if widest * font * GLYPH <= WIDTH), UNFOLDED)  # else it is folded
    style = f'style="font-size: {font}px"'
    return f'<pre class="output proof fragment" {style} data-fragment-index="0">{_rows(rows)}</pre>' if rows else ""


def _rows(printed: str) -> str:
    """Return an output as HTML, each line a span, so that the rest of a folded line can be indented."""
    return "".join(f'<span class="line">{escape(row)}</span>' for row in printed.splitlines())


def _span(lines: str, count: int) -> tuple[int, int]:
    if not lines:
        return 1, count
    first, _, last = lines.partition("-")
    return int(first), int(last or first)


def _steps(steps: str) -> list[list[int]]:
    """Return the lines of each step of a text such as ``3-5, 2+7-9``; ``all`` has none, and lights them all."""
    found = []
    for step in re.split(r",\s*", steps) if steps else []:
        spans = [_span(part, 0) for part in step.split("+") if part != "all"]
        found.append([number for first, last in spans for number in range(first, last + 1)])
    return found
