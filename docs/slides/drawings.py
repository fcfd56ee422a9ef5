"""The drawings of a lesson, cut to what a slide is about, and as large as it allows."""

from __future__ import annotations

import base64
import re
from html import escape

HEAD = 80  # the height of the title and the two ends in a drawing of a connection
ROOM = (1184, 528)  # pixels that a slide has for a picture


def without(svg: str, part: str) -> str:
    """Return the drawing of a connection without a part.

    ``handshake`` is all above "from here on: frames", ``headers`` the header lines only, an empty text nothing.
    """
    width, height = _size(svg)
    gaps: list[tuple[int, int]] = []
    if part == "headers":
        boxes = re.findall(r'<rect class="fill l l-edge" x="\d+" y="(\d+)" width="\d+" height="(\d+)"', svg)
        gaps = [(int(top) - 4, int(top) + int(tall) + 4) for top, tall in boxes]
    elif part == "handshake":
        line = re.search(r'<path class="l l-line dash" d="M\d+ (\d+)L', svg)
        assert line, "this drawing has no handshake to leave out"
        gaps = [(HEAD, int(line[1]) + 14)]
    if not gaps:
        return svg
    inner = re.sub(r"^<svg[^>]*>|</svg>$|<title>.*?</title>|<desc>.*?</desc>", "", svg.strip(), flags=re.DOTALL)
    strips, top, y = [], 0, 0
    for first, last in [*gaps, (height, height)]:
        tall = first - top
        strips.append(
            f'<svg y="{y}" width="{width}" height="{tall}" viewBox="0 {top} {width} {tall}"><use href="#all"/></svg>'
        )
        y += tall
        top = last
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}">'
        f'<defs><g id="all" class="tap">{inner}</g></defs>{"".join(strips)}</svg>'
    )


def image(svg: str, alt: str) -> str:
    """Return a drawing as an image that fills a slide."""
    width, height = _size(svg)
    scale = min(ROOM[0] / width, ROOM[1] / height)
    source = base64.b64encode(svg.encode()).decode()
    return (
        f'<div class="picture"><img alt="{escape(alt)}" src="data:image/svg+xml;base64,{source}" '
        f'width="{width * scale:.0f}" height="{height * scale:.0f}"></div>'
    )


def _size(svg: str) -> tuple[int, int]:
    found = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert found
    return int(found[1]), int(found[2])
