"""The steps of a captured conversation: every line of a handshake, every field of a frame, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from websockets.frames import Opcode

from server.testing.tapped_connection import Direction

from ..tap.conversation import Conversation
from ..tap.frames import TapFrame
from ..tap.http import TapRequest, TapResponse
from ..tap.transcript import rows
from .frame import first_byte, meaning_of, parts_of, second_byte
from .headers import Line, request_lines, response_lines

__all__ = ["Byte", "State", "Step", "Which", "conversation_steps", "frame_steps"]

State = Literal["CONNECTING", "OPEN", "CLOSING", "CLOSED"]
"""The state of one end, by the names that a browser gives to ``WebSocket.readyState``."""

Which = Literal["all", "handshake", "frames", "close"]


@dataclass(frozen=True, slots=True)
class Byte:
    """One byte of a frame."""

    hex: str
    """Two hexadecimal digits; ``··`` for a random byte, which differs from run to run."""
    character: str
    """The character that it stands for in a payload, or nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One place at which a reader stops."""

    name: str
    """The field, the header or the event."""
    sender: Direction | None
    """The end that sent it; None for what happens to both."""
    message: str
    """The message that it belongs to, such as ``GET /ws HTTP/1.1`` or ``TEXT frame, 7 bytes``."""
    meaning: str
    client: State
    """The state of the client after this step."""
    server: State
    lines: tuple[str, ...] = ()
    """The head of the HTTP message, of which `at` is the line that is looked at."""
    data: tuple[Byte, ...] = ()
    """The bytes of the frame, of which those from `at` to `end` are looked at."""
    at: int = 0
    end: int = 0
    bits: str = ""
    """The byte that is looked at, bit by bit, with a dot for a bit of another field."""


class _Ends:
    """The states of both ends, as the messages pass."""

    def __init__(self, state: State) -> None:
        self.client: State = state
        self.server: State = state

    def set(self, side: Direction, state: State) -> None:
        setattr(self, side, state)


def conversation_steps(conversation: Conversation, which: Which) -> Iterator[Step]:
    """Yield the steps of one connection, or those of its handshake, its frames or its close.

    The frames begin where the handshake ends, the close begins with the first close frame.
    """
    ends = _Ends("CONNECTING")
    closing = False
    for event in conversation.events:
        # every message is walked through, as each may change the states
        if isinstance(event, TapRequest | TapResponse):
            found = list(_head(event, ends))
            yield from found if which in ("all", "handshake") else []
        elif isinstance(event, TapFrame):
            found = list(_frame(event, ends))
            closing = closing or event.opcode is Opcode.CLOSE
            yield from found if which in ("all", "frames") or (which == "close" and closing) else []
    if which == "all" or (which != "handshake" and conversation.kind == "websocket"):
        yield from _end(conversation)


def frame_steps(frame: TapFrame) -> Iterator[Step]:
    """Yield the steps of one frame on an open connection."""
    return _frame(frame, _Ends("OPEN"))


def _head(message: TapRequest | TapResponse, ends: _Ends) -> Iterator[Step]:
    if isinstance(message, TapRequest):
        head, first = request_lines(message), "request line"
    else:
        head, first = response_lines(message), "status line"
        ends.server = "OPEN" if message.status == 101 else "CLOSED"
    lines = tuple(_written(line) for line in head)
    for index, line in enumerate(head):
        if isinstance(message, TapResponse) and index == len(head) - 1:
            ends.client = ends.server  # the client knows only when it has read everything
        name = line.name if index else first
        yield Step(
            name or "empty line",
            message.direction,
            lines[0],
            line.purpose or "a header like any other",
            ends.client,
            ends.server,
            lines=lines,
            at=index,
            end=index + 1,
        )


def _written(line: Line) -> str:
    return f"{line.name}: {line.value}" if line.value else line.name


def _frame(frame: TapFrame, ends: _Ends) -> Iterator[Step]:
    data = tuple(_bytes(frame))
    size = len(frame.raw)
    message = f"{frame.opcode.name} frame, {size:,} byte{'s' * (size != 1)}"
    close = frame.opcode is Opcode.CLOSE
    other: Direction = "server" if frame.direction == "client" else "client"
    if close:
        ends.set(frame.direction, "CLOSING")
    places = list(_places(frame))
    for index, (name, meaning, at, end, bits) in enumerate(places):
        if close and index == len(places) - 1:
            ends.set(other, "CLOSING")
        yield Step(
            name,
            frame.direction,
            message,
            meaning,
            ends.client,
            ends.server,
            data=data,
            at=at,
            end=end,
            bits=bits,
        )


def _bytes(frame: TapFrame) -> Iterator[Byte]:
    for part in parts_of(frame, show_key=False):
        for byte in part.data:
            readable = part.readable and 0x20 <= byte < 0x7F
            yield Byte("··" if part.secret else f"{byte:02x}", chr(byte) if readable else "")


def _places(frame: TapFrame) -> Iterator[tuple[str, str, int, int, str]]:
    """Yield name, meaning, first byte, last byte and bits of each field."""
    for index, fields in enumerate((first_byte(frame), second_byte(frame))):
        pattern, at = f"{frame.raw[index]:08b}", 0
        for name, size, meaning in fields:
            shown = "." * at + pattern[at : at + size] + "." * (8 - at - size)
            yield name, meaning, index, index + 1, shown
            at += size
    at = 2
    for part in list(parts_of(frame, show_key=False))[1:]:
        meaning = {
            "length": f"the length: {len(frame.payload):,}",
            "masking key": "four random bytes; the payload was XORed with them",
            "code": f"the close code: {int.from_bytes(part.data, 'big')}",
            "reason": f"the reason: {part.data.decode(errors='replace')}",
        }.get(part.name, f"it says: {meaning_of(frame)}")
        if part.left_out:
            meaning += f" ({part.left_out:,} more bytes are not shown)"
        yield part.name, meaning, at, at + len(part.data), ""
        at += len(part.data)


def _end(conversation: Conversation) -> Iterator[Step]:
    for row in rows(conversation.events, conversation.outcome)[-1:]:
        if conversation.ended and row.head.startswith("TCP"):
            name = " ".join(part for part in (row.head, row.label) if part)
            yield Step(name, row.direction, "TCP", "the connection itself is over", "CLOSED", "CLOSED")
