"""Pictures of what a tap captured: SVG with a text twin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ..tap.conversation import Conversation
from ..tap.tap import Tap
from ..tap.transcript import FRAMES, Row, Tone, lines, rows
from .frame import frame_picture
from .picture import Canvas, Picture, boxed, columns, excerpt

__all__ = ["Picture", "frame_picture", "same", "sequence", "side_by_side"]

WIDTH = 720  # of one conversation
NARROW = 480  # of one of two
EDGE = 72  # from the border to a lifeline
CHAR = 7.25  # width of a character of the monospaced font
MOST = 40  # rows of one conversation that a picture shows
COLUMNS = 76  # of the text twin

Drawn = list[Row]


def sequence(
    seen: Tap | Conversation | Sequence[Conversation],
    title: str = "",
    *,
    headers: Iterable[str] = (),
    hide: Iterable[str] = (),
    most: int = MOST,
    handshake: bool = True,
) -> Picture:
    """Draw what a tap captured, from top to bottom: TCP, HTTP heads, every frame, close codes, the end.

    Example: ``sequence(tap, "The handshake")``. A tap is drawn with all its connections; those that say the
    same are drawn once. One conversation, ``tap.conversations[0]``, or a list of them is drawn as well. `headers`
    are the names of more headers to show. Each text in `hide`, such as a ticket or a token, is shown as "random".
    If there are more than `most` rows, the middle is left out. With ``handshake=False`` the drawing starts after the
    101. It waits up to 1 s for a close that has begun.

    The picture of the same conversation is the same every time.
    """
    blocks = _blocks(seen, tuple(headers), tuple(hide), most, handshake=handshake)
    title = title or "What went over the wire"
    canvas = Canvas()
    y = _titled(canvas, title, WIDTH)
    text: list[str] = []
    told: list[str] = []
    for name, drawn in blocks:
        if name:
            y += 18
            canvas.text(WIDTH / 2, y, ("soft strong", name), anchor="middle")
            y += 6
        y = _block(canvas, drawn, 0, y, WIDTH)
        text += ([name] if name else []) + _twin(drawn)
        told += ([name] if name else []) + list(lines(drawn))
    return Picture(canvas.svg(WIDTH, y + 18, title, ". ".join(told)), boxed(title, text), title)


def side_by_side(
    left: Conversation,
    right: Conversation,
    titles: tuple[str, str],
    title: str = "",
    *,
    handshake: bool = True,
) -> Picture:
    """Draw two conversations next to each other, and say whether they are the same on the wire.

    Example: ``side_by_side(first, second, ("ours", "theirs"))``; each is one of ``tap.conversations``, and `titles`
    are the names above them. Keys, masks, ports and dates are not compared. With ``handshake=False`` the drawing
    starts after the 101.
    """
    told = [_rows(conversation, (), ()) for conversation in (left, right)]
    verdict = "the same on the wire" if lines(told[0]) == lines(told[1]) else "not the same on the wire"
    title = title or f"{titles[0]} and {titles[1]}: {verdict}"
    if not handshake:
        told = [_frames_of(drawn) for drawn in told]
    canvas = Canvas()
    top = _titled(canvas, title, 2 * NARROW)
    bottom = top
    text: list[str] = []
    for index, (name, drawn) in enumerate(zip(titles, told, strict=True)):
        canvas.text((index + 0.5) * NARROW, top + 12, ("ink strong", name), anchor="middle")
        bottom = max(bottom, _block(canvas, _short(drawn, MOST), index * NARROW, top + 18, NARROW))
        text += [name, *_twin(_short(drawn, MOST)), ""]
    description = ". ".join(f"{name}: {'. '.join(lines(drawn))}" for name, drawn in zip(titles, told, strict=True))
    return Picture(canvas.svg(2 * NARROW, bottom + 18, title, description), boxed(title, text[:-1]), title)


def same(left: Conversation, right: Conversation) -> bool:
    """Return whether two conversations say the same; keys, masks, ports and dates don't count."""
    return left.transcript() == right.transcript()


# what is drawn


def _blocks(
    seen: Tap | Conversation | Sequence[Conversation],
    headers: Sequence[str],
    hide: Sequence[str],
    most: int,
    *,
    handshake: bool,
) -> list[tuple[str, Drawn]]:
    if isinstance(seen, Tap):
        seen.settle()
    conversations = [seen] if isinstance(seen, Conversation) else seen.conversations if isinstance(seen, Tap) else seen
    told = [(one.number, _rows(one, headers, hide)) for one in conversations]
    if not handshake:
        told = [(number, _frames_of(drawn)) for number, drawn in told]
    if not told:
        raise ValueError("nothing to draw: the tap saw no connection; connect to tap.url(), not to the server's")
    if len(told) == 1:
        return [("", _short(told[0][1], most))]
    found = []
    for drawn, group in groupby(told, key=lambda one: one[1]):
        numbers = [number for number, _ in group]
        name = f"connection {numbers[0]}" if len(numbers) == 1 else f"connections {numbers[0]} to {numbers[-1]}, each"
        found.append((name, _short(drawn, most)))
    return found


def _rows(conversation: Conversation, headers: Sequence[str], hide: Sequence[str]) -> Drawn:
    conversation.settle()
    return rows(conversation.events, conversation.outcome, headers=headers, hide=hide)


def _frames_of(drawn: Drawn) -> Drawn:
    """Return the rows after the 101, or all of them if there is none."""
    heads = [row.head for row in drawn]
    return drawn[heads.index(FRAMES) + 1 :] if FRAMES in heads else drawn


def _short(drawn: Drawn, most: int) -> Drawn:
    if len(drawn) <= most:
        return drawn
    first = most * 2 // 3
    left_out = len(drawn) - most + 1
    return [
        *drawn[:first],
        Row("tcp", f"{left_out} more", label="left out here"),
        *drawn[len(drawn) - most + first + 1 :],
    ]


# as SVG


def _titled(canvas: Canvas, title: str, width: float) -> float:
    canvas.text(width / 2, 30, ("ink strong", title), anchor="middle")
    return 40.0


def _block(canvas: Canvas, drawn: Drawn, x: float, y: float, width: float) -> float:
    """Draw one conversation below `y`, and return where it ends."""
    left, right = x + EDGE, x + width - EDGE
    for place, name in ((left, "client"), (right, "server")):
        canvas.box(place - 38, y + 6, 76, 26, f"fill l l-{name}", radius=13)
        canvas.text(place, y + 23.5, (f"{name} strong", name), anchor="middle")
    start, y = y + 32, y + 40
    inner = Canvas()
    for row in drawn:
        y = _row(inner, row, left, right, y)
    y += 12
    canvas.line(left, start, left, y)
    canvas.line(right, start, right, y)
    canvas.add(inner)
    return y


def _row(canvas: Canvas, row: Row, left: float, right: float, y: float) -> float:
    middle = (left + right) / 2
    room = int((right - left - 24) / CHAR)
    colour = _colour(row)
    head = excerpt(row.head, room)
    spans = (
        (f"mono strong {colour}", head),
        ("mono ink", excerpt(f" {row.label}", max(2, room - len(head))) if row.label else ""),
    )
    if row.direction is None and row.tone == "http":
        canvas.line(left + 14, y + 15, right - 14, y + 15, "l l-line dash")
        canvas.box(middle - 4 * len(head), y + 4, 8 * len(head), 22, "card", radius=0)
        canvas.text(middle, y + 19, ("small strong soft", head), anchor="middle")
        return y + 26
    if row.direction is None:
        width = min(right - left - 40, CHAR * (len(head) + len(spans[1][1])) + 28)
        edge = "line" if row.tone == "tcp" else colour
        canvas.box(middle - width / 2, y + 6, width, 24, f"card l-{edge}", radius=12)
        canvas.text(middle, y + 22, *spans, anchor="middle")
        return _detail(canvas, row, middle, y + 34)
    y += 22
    canvas.text(middle, y, *spans, anchor="middle")
    ends = (left, right) if row.direction == "client" else (right, left)
    canvas.arrow(*ends, y + 8, colour, broken=row.lost)
    y += 8
    if row.fields:
        return _fields(canvas, row, left, right, y)
    return _detail(canvas, row, middle, y)


def _detail(canvas: Canvas, row: Row, middle: float, y: float) -> float:
    if not row.detail:
        return y + 4
    canvas.text(middle, y + 15, ("small soft", row.detail), anchor="middle")
    return y + 19


def _fields(canvas: Canvas, row: Row, left: float, right: float, y: float) -> float:
    room = int((right - left - 48) / CHAR)
    height = 17 * len(row.fields) + 12
    canvas.box(left + 14, y + 9, right - left - 28, height, "fill l l-edge")
    for index, (name, value, stands) in enumerate(row.fields):
        value_kind = "soft slant" if stands else "mono ink"
        shown = excerpt(value, max(4, room - len(name) - 2))
        canvas.text(left + 26, y + 26 + 17 * index, ("mono soft", f"{name}: "), (value_kind, shown))
    return y + 9 + height


def _colour(row: Row) -> str:
    colours: dict[Tone, str] = {"control": "control", "close": "close", "bad": "bad"}
    return "soft" if row.tone == "tcp" else colours.get(row.tone) or row.direction or "ink"


# as text


def _twin(drawn: Drawn) -> list[str]:
    inner = COLUMNS - 4
    found = [f"client{' ' * (COLUMNS - 12)}server"]
    for row in drawn:
        if row.direction is None:
            found.append(_centred(" ".join(part for part in (row.head, row.label) if part), inner))
        else:
            found.append(_arrow(row, inner))
        for name, value, _ in row.fields:
            found.append(f"│     {_padded(excerpt(f'{name}: {value}', inner - 6), inner - 4)} │")
        if row.detail and not row.fields:
            found.append(f"│     {_padded(row.detail, inner - 4)} │")
    return found


def _arrow(row: Row, inner: int) -> str:
    label = excerpt(" ".join(part for part in (row.head, row.label) if part), inner - 8)
    fill = "─" * (inner - columns(label) - 3)
    if row.lost:
        fill = fill[: len(fill) // 2 - 1] + "✕" + " " * (len(fill) - len(fill) // 2)
    if row.direction == "client":
        return f"│─ {label} {fill}{' ' if row.lost else '▶'} │"
    return f"│ {' ' if row.lost else '◀'}{fill[::-1]} {label} ─│"


def _centred(label: str, inner: int) -> str:
    label = excerpt(label, inner - 4)
    before = (inner - columns(label)) // 2
    return f"│ {' ' * before}{label}{' ' * (inner - before - columns(label))} │"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))
