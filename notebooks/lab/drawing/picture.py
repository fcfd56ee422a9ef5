"""A picture for a notebook: SVG for the eye, the same as text for everything else."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any

from server.messages.shorten import shorten

__all__ = ["INKS", "Canvas", "Picture", "boxed", "columns", "excerpt", "printable"]

EXCERPT = 60  # characters of a text by default
MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
SANS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

INKS = {
    "card": ("#ffffff", "#151b24"),
    "edge": ("#d5dbe5", "#334052"),
    "ink": ("#1c2430", "#e8edf4"),
    "soft": ("#5d6878", "#a2afc0"),
    "line": ("#aab4c2", "#5a6779"),
    "fill": ("#f4f6fa", "#1e2733"),
    "client": ("#1d5fd6", "#7fb2ff"),
    "server": ("#0b7a6b", "#4fd0b9"),
    "control": ("#7a3fd0", "#c2a0ff"),
    "close": ("#a85a00", "#f2b25c"),
    "bad": ("#c62a2f", "#ff8a86"),
}
"""Each colour in a light and in a dark surrounding; texts reach a contrast of 4.5 on card and fill in both."""


def _style() -> str:
    # the card brings its own background: JupyterLab shows an SVG as an image, which no theme of the page reaches
    light, dark = ("".join(f"--{name}:{pair[index]};" for name, pair in INKS.items()) for index in (0, 1))
    inks = "".join(f".tap .{name}{{fill:var(--{name})}}.tap .l-{name}{{stroke:var(--{name})}}" for name in INKS)
    return (
        f".tap{{{light}}}@media(prefers-color-scheme:dark){{.tap{{{dark}}}}}"
        f".tap text{{font:13px {SANS}}}.tap .mono{{font-family:{MONO};font-size:12px}}"
        ".tap .small{font-size:11px}.tap .strong{font-weight:650}.tap .slant{font-style:italic}"
        f".tap .l{{fill:none;stroke-width:1.4}}.tap .dash{{stroke-dasharray:4 4}}{inks}"
    )


class Picture:
    """What a notebook shows as SVG, and everything else as text.

    JupyterLab shows the SVG of a trusted notebook; ``print(picture)`` gives the text twin.
    Two pictures of the same conversation are equal.
    """

    def __init__(self, svg: str, text: str, title: str) -> None:
        self.svg = svg
        self.text = text
        self.title = title

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/plain": self.text}

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Picture) and (self.svg, self.text) == (other.svg, other.text)

    def __hash__(self) -> int:
        return hash(self.svg)


class Canvas:
    """Collects the elements of an SVG; every text is escaped here, and only here."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def add(self, other: Canvas) -> None:
        """Draw what another canvas holds on top of this one."""
        self._elements += other._elements

    def text(self, x: float, y: float, *spans: tuple[str, str], anchor: str = "start") -> None:
        """Draw spans of ``(classes, text)`` one behind the other, on the baseline `y`."""
        inner = "".join(f'<tspan class="{kind}">{_safe(text)}</tspan>' for kind, text in spans if text)
        placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._elements.append(f'<text x="{x:g}" y="{y:g}" xml:space="preserve"{placed}>{inner}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, kind: str = "fill l-edge", *, radius: float = 6
    ) -> None:
        """Draw a rectangle with round corners."""
        self._elements.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "l l-line") -> None:
        """Draw a straight line."""
        self.path(f"M{x1:g} {y1:g}L{x2:g} {y2:g}", kind)

    def path(self, commands: str, kind: str) -> None:
        """Draw an SVG path."""
        self._elements.append(f'<path class="{kind}" d="{commands}"/>')

    def arrow(self, x1: float, x2: float, y: float, colour: str, *, broken: bool = False) -> None:
        """Draw a horizontal arrow; a broken one ends half-way in a cross."""
        way = 1 if x2 > x1 else -1
        tip = (x1 + x2) / 2 if broken else x2
        self.line(x1, y, tip - (0 if broken else 7 * way), y, f"l l-{colour}{' dash' if broken else ''}")
        if broken:
            self.path(f"M{tip - 5:g} {y - 5:g}l10 10m0 -10l-10 10", "l l-bad")
        else:
            self.path(f"M{tip:g} {y:g}l{-9 * way:g} -4.5v9z", colour)

    def svg(self, width: float, height: float, title: str, description: str) -> str:
        """Return the whole picture on a card of its own, with a name for screen readers."""
        name = _safe(title)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="tap" role="img" aria-label="{name}" '
            f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">'
            f"<title>{name}</title><desc>{_safe(description)}</desc>"
            f"<style>{_style()}</style>"
            f'<rect class="card l-edge" x=".5" y=".5" width="{width - 1:g}" height="{height - 1:g}" rx="10"/>'
            f"{''.join(self._elements)}</svg>"
        )


def printable(text: str) -> str:
    """Return the text with what can't be printed escaped: control characters, direction overrides, non-characters."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def excerpt(text: str, limit: int = EXCERPT) -> str:
    """Return the beginning of a text on one line, with what can't be printed escaped."""

    def size(part: str) -> int:
        return len(printable(part))

    if shorten(text, limit, size=size) == text:
        return printable(text)
    return f"{printable(shorten(text, limit - 1, size=size))}…"


def _safe(text: str) -> str:
    return escape(printable(text))


def columns(text: str) -> int:
    """Return how many columns a text takes in a monospaced font."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)


def boxed(title: str, body: Sequence[str]) -> str:
    """Return lines in a box of line-drawing characters, with a title in its upper edge."""
    title = printable(title)
    width = max([columns(title) + 2, *(columns(line) for line in body)])
    top = f"┌─ {title} {'─' * (width - columns(title) - 1)}┐"
    rows = [f"│ {line}{' ' * (width - columns(line))} │" for line in body]
    return "\n".join([top, *rows, f"└{'─' * (width + 2)}┘"])
