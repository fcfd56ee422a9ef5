"""The parts of a frame, as labelled boxes: SVG with a text twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from websockets.frames import Opcode

from ..tap.frames import FrameReader, TapFrame
from ..tap.transcript import close_text, scrubbed
from .picture import Canvas, Picture, boxed, excerpt

__all__ = ["Part", "first_byte", "frame_picture", "meaning_of", "parts_of", "second_byte"]

WIDTH = 720
MARGIN = 26
STEP = 35  # from one byte's box to the next
SIZE = 32
BIT = 30
BYTES = 19  # that fit in one row
MORE = 3  # boxes' room that "… 65,536 more" takes
TOP = 72  # of the bytes
HEIGHT = 44

Field = tuple[str, int, str]
"""Some bits of a header byte: name, number of bits, meaning."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a frame that belong together."""

    name: str
    colour: str
    data: bytes
    secret: bool = False
    """Whether the bytes are random, so that a picture must not show them."""
    readable: bool = False
    """Whether the bytes may be characters."""
    left_out: int = 0
    """How many bytes follow that are not shown."""


def frame_picture(frame: TapFrame | bytes, title: str = "", *, show_key: bool = False) -> Picture:
    """Draw a frame's bytes as labelled boxes: FIN, RSV, opcode, MASK, length, masking key, payload.

    Example: ``frame_picture(tap.frames[0], "My first frame")``. `frame` is one of `Tap.frames`, or
    the bytes of one frame. A masked frame is drawn with its payload unmasked and its random key left
    out, so the picture is the same every time; ``show_key=True`` draws the bytes as they were on the wire.

    Raises:
        ValueError: the bytes are not exactly one frame.
    """
    frame = frame if isinstance(frame, TapFrame) else _only_frame(frame)
    parts = list(parts_of(frame, show_key))
    title = title or f"One {frame.opcode.name} frame, {len(frame.raw):,} bytes"
    facts = first_byte(frame), second_byte(frame)
    canvas = Canvas()
    canvas.text(MARGIN, 32, ("ink strong", title))
    _bytes(canvas, parts, TOP)
    bottom = max(_bits(canvas, frame.raw[index], index, facts[index]) for index in (0, 1))
    meaning = meaning_of(frame)
    canvas.text(MARGIN, bottom + 28, ("small strong ink", "payload"))
    canvas.text(MARGIN + 60, bottom + 28, ("mono ink", meaning))
    text = _twin(parts, facts, meaning, frame.raw)
    return Picture(canvas.svg(WIDTH, bottom + 50, title, ". ".join(text)), boxed(title, text), title)


def _only_frame(data: bytes) -> TapFrame:
    masked = len(data) > 1 and data[1] & 0x80
    found = list(FrameReader("client" if masked else "server").feed(bytes(data)))
    if len(found) == 1 and isinstance(found[0], TapFrame) and len(found[0].raw) == len(data):
        return found[0]
    reason = (
        "they are not finished" if not found else "more follows" if isinstance(found[0], TapFrame) else found[0].note
    )
    raise ValueError(f"these {len(data)} bytes are not one frame: {reason}; pass the bytes of exactly one")


def parts_of(frame: TapFrame, show_key: bool) -> Iterator[Part]:
    """Yield the runs of bytes that belong together: header, length, masking key, payload."""
    yield Part("header", "ink", frame.raw[:2])
    if extended := frame.header[2 : len(frame.header) - len(frame.mask)]:
        yield Part("length", "control", extended)
    if frame.masked:
        yield Part("masking key", "close", frame.mask, secret=not show_key)
    room = BYTES - len(frame.header)
    if frame.masked and show_key:
        name, data = "payload, masked", frame.raw[len(frame.header) :]
    elif frame.rsv1 and frame.data is not None:
        name, data = "payload, inflated", frame.data
    else:
        name, data = "payload, unmasked" if frame.masked else "payload", frame.payload
    if frame.opcode is Opcode.CLOSE and len(data) >= 2 and not (frame.masked and show_key):
        yield Part("code", "bad", data[:2])
        name, data, room = "reason", data[2:], room - 2
    if data:
        shown = data if len(data) <= room else data[: room - MORE]
        yield Part(name, frame.direction, shown, readable=True, left_out=len(data) - len(shown))


def first_byte(frame: TapFrame) -> list[Field]:
    """Return the fields of the first header byte: FIN, RSV, opcode."""
    rsv = "RSV1: the message is compressed" if frame.rsv1 else frame.error or "no extension changes this frame"
    return [
        ("FIN", 1, "the message ends with this frame" if frame.fin else "more frames of this message follow"),
        ("RSV", 3, rsv),
        ("opcode", 4, frame.opcode.name + (" (continuation)" if frame.opcode is Opcode.CONT else "")),
    ]


def second_byte(frame: TapFrame) -> list[Field]:
    """Return the fields of the second header byte: MASK and length."""
    length = frame.raw[1] & 0x7F
    size = len(frame.payload)
    extended = {
        126: f"the length is in the next 2 bytes: {size:,}",
        127: f"the length is in the next 8 bytes: {size:,}",
    }
    return [
        ("MASK", 1, _masking(frame)),
        ("length", 7, extended.get(length, f"{size} byte{'s' * (size != 1)} of payload")),
    ]


def _masking(frame: TapFrame) -> str:
    if frame.direction == "client":
        return "masked, as a client's frames must be" if frame.masked else "not masked: an error, a client must mask"
    return "masked: an error, a server must not mask" if frame.masked else "not masked, as a server's frames must be"


def meaning_of(frame: TapFrame) -> str:
    """Return what the payload says, in one line."""
    if frame.opcode is Opcode.CLOSE:
        return close_text(frame)
    data = frame.payload if frame.data is None else frame.data
    if not data:
        return "empty"
    if frame.text is not None or (frame.opcode >= 8 and data.isascii()):
        return excerpt(scrubbed(data[:500].decode(errors="replace")), 80)
    return f"{len(data)} bytes that are no text"


# as SVG


def _bytes(canvas: Canvas, parts: list[Part], y: float) -> None:
    x = float(MARGIN)
    for part in parts:
        canvas.text(x, y - 9, (f"small strong {part.colour}", part.name))
        if part.secret:
            middle = x + (len(part.data) * STEP - (STEP - SIZE)) / 2
            canvas.text(middle, y + HEIGHT + 15, ("small soft slant", "random"), anchor="middle")
        for byte in part.data:
            canvas.box(x, y, SIZE, HEIGHT, f"fill l l-{part.colour}", radius=5)
            canvas.text(x + SIZE / 2, y + 18, ("mono ink", "··" if part.secret else f"{byte:02x}"), anchor="middle")
            if part.readable and 0x20 <= byte < 0x7F:
                canvas.text(x + SIZE / 2, y + 35, ("mono soft", chr(byte).replace(" ", "␣")), anchor="middle")
            x += STEP
        if part.left_out:
            canvas.text(x + 4, y + 18, ("soft", f"… {part.left_out:,} more"))


def _bits(canvas: Canvas, byte: int, index: int, fields: list[Field]) -> float:
    """Draw one header byte as eight bits below its box, with the meaning of each field."""
    left, top = MARGIN + index * (WIDTH / 2 - MARGIN), TOP + HEIGHT + 52.0
    centre, bit_centre = MARGIN + index * STEP + SIZE / 2, left + 4 * BIT
    rail = TOP + HEIGHT + (34 - 10 * index)  # one for each byte, or the two lines would run into each other
    canvas.path(f"M{centre:g} {TOP + HEIGHT + 3}V{rail}H{bit_centre:g}V{top - 4:g}", "l l-line")
    x, shift = left, 8
    for name, bits, _ in fields:
        shift -= bits
        canvas.box(x + 1, top, bits * BIT - 2, 28, "fill l l-ink", radius=5)
        for place in range(bits):
            bit = byte >> (shift + bits - 1 - place) & 1
            canvas.text(x + (place + 0.5) * BIT, top + 19, ("mono ink", str(bit)), anchor="middle")
        canvas.text(x + bits * BIT / 2, top + 43, ("small strong ink", name), anchor="middle")
        x += bits * BIT
    y = top + 52
    for name, _, meaning in fields:
        y += 18
        canvas.text(left, y, ("small strong ink", name))
        canvas.text(left + 60, y, ("small soft", meaning))
    return y


# as text


def _twin(parts: list[Part], facts: tuple[list[Field], ...], meaning: str, raw: bytes) -> list[str]:
    found = []
    for index, fields in enumerate(facts):
        bits, at = f"{raw[index]:08b}", 0
        for name, size, sense in fields:
            start = f"{raw[index]:02x}" if at == 0 else "  "
            pattern = "." * at + bits[at : at + size] + "." * (8 - at - size)
            found.append(f"{start}  {pattern}  {name:<7} {sense}")
            at += size
    for part in parts[1:]:
        shown = (
            "random" if part.secret else part.data.hex(" ") + (f" … {part.left_out:,} more" if part.left_out else "")
        )
        found.append(f"{part.name}: {shown}")
    return [*found, f"the payload says: {meaning}"]
