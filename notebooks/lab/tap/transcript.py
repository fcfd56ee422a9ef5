"""Describe a conversation in rows that are the same every time: without keys, masks, dates and ports.

The pictures and their text twins are drawn from these rows, and two conversations are
compared by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from websockets.frames import CloseCode, Opcode

from server.testing.tapped_connection import CUT, ConnectionEvent, Direction, Outcome

from ..drawing.picture import excerpt
from .events import Event
from .frames import TapBytes, TapFrame
from .http import TapRequest, TapResponse

__all__ = ["FRAMES", "PLACEHOLDERS", "Row", "Tone", "close_text", "lines", "rows", "scrubbed"]

Tone = Literal["tcp", "http", "data", "control", "close", "bad"]

SHOWN = (
    *("Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Accept"),
    *("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Origin", "Cookie", "Authorization"),
    *("Content-Type", "Transfer-Encoding", "Location", "WWW-Authenticate", "Retry-After", "Last-Event-ID"),
)
"""The headers that rows show, in this order, whatever the order on the wire."""

PLACEHOLDERS = {
    "sec-websocket-key": "random",
    "sec-websocket-accept": "made from the key",
    "date": "now",
    "user-agent": "name and version",
}
"""What stands for the values that differ from run to run or from machine to machine."""

FRAMES = "from here on: frames"
"""The head of the row behind a 101."""

_PORT = re.compile(r"(?<![\w.])(127\.0\.0\.1|localhost|\[::1\]):\d+")
TLS_ALERT = 0x15  # first byte of a TLS record that refuses


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a conversation."""

    tone: Tone
    head: str
    """What it is: an opcode, a request line, a status."""
    direction: Direction | None = None
    """Who sent it; None for what happened to both ends."""
    label: str = ""
    """What it says."""
    detail: str = ""
    """What else is to know about it."""
    fields: tuple[tuple[str, str, bool], ...] = ()
    """Headers: name, value, and whether the value stands for something random."""
    lost: bool = False
    """Whether it did not arrive while the tap could see it."""


def rows(
    events: Iterable[Event], outcome: Outcome, *, headers: Iterable[str] = (), hide: Iterable[str] = ()
) -> list[Row]:
    """Return the steps of a conversation, in order.

    `headers` are shown beside the usual ones. Each text in `hide` (a ticket, a token) is shown as "random".
    """
    shown = (*SHOWN, *(name for name in headers if name.lower() not in {known.lower() for known in SHOWN}))
    built = _RowBuilder(shown).build(list(events), outcome)
    return [_hidden(row, tuple(hide)) for row in built]


def lines(steps: Sequence[Row]) -> tuple[str, ...]:
    """Return the rows as text, one line for each row and each header."""
    found: list[str] = []
    for row in steps:
        who = "" if row.direction is None else f"{row.direction}: "
        parts = [
            f"{who}{row.head}",
            row.label,
            f"({row.detail})" if row.detail else "",
            "(does not arrive)" if row.lost else "",
        ]
        found.append(" ".join(part for part in parts if part))
        found.extend(f"    {name}: {value}" for name, value, _ in row.fields)
    return tuple(found)


class _RowBuilder:
    """Make rows of one conversation's events; remember what the rows of its end depend on."""

    def __init__(self, shown: Sequence[str]) -> None:
        self._shown = shown
        self._upgraded = False
        self._closes: set[Direction] = set()
        self._over = False
        self._opaque = False

    def build(self, events: list[Event], outcome: Outcome) -> list[Row]:
        cut = bool(events) and isinstance(events[0], ConnectionEvent) and events[0].text == CUT
        found = [*self._rows(events.pop(0))] if cut else []
        found.append(Row("tcp", "TCP connect", "client", lost=cut or outcome == "refused"))
        if outcome == "refused":
            return [*found, Row("bad", "refused: nobody listens there")]
        for event in events:
            found.extend(self._rows(event))
        if not self._over and outcome == "closed":
            label = "without an answer to the close frame" if len(self._closes) == 1 else ""
            found.append(Row("tcp", "TCP connection closed", label=label))
        elif not self._over and outcome in ("gave up", "stopped"):
            text = "the client gave up" if outcome == "gave up" else "still open when the tap was stopped"
            found.append(Row("tcp", text))
        return found

    def _rows(self, event: Event) -> Iterator[Row]:
        match event:
            case TapRequest():
                line = event.raw.partition(b"\r\n")[0].decode("latin-1")
                yield self._message(event, scrubbed(line), "HTTP request")
            case TapResponse():
                self._upgraded = self._upgraded or event.status == 101
                yield self._message(event, f"{event.status} {event.reason}".strip(), "HTTP response")
                yield from _stream(event)
                if event.status == 101:
                    yield Row("http", FRAMES)
            case TapFrame():
                yield self._frame(event)
            case TapBytes():
                yield from self._bytes(event)
            case ConnectionEvent():
                yield from self._connection_event(event)

    def _message(self, event: TapRequest | TapResponse, head: str, detail: str) -> Row:
        tone: Tone = "bad" if isinstance(event, TapResponse) and event.status >= 400 else "http"
        streamed = event.headers.get("Content-Type", "").startswith("text/event-stream")
        label = "" if streamed or not event.body else _payload(event.body, text=_is_text(event))
        return Row(tone, head, event.direction, label, detail, tuple(self._fields(event)), event.held)

    def _fields(self, event: TapRequest | TapResponse) -> Iterator[tuple[str, str, bool]]:
        for name in self._shown:
            for value in event.headers.get_all(name):
                placeholder = PLACEHOLDERS.get(name.lower())
                yield name, placeholder or excerpt(scrubbed(value)), placeholder is not None

    def _frame(self, frame: TapFrame) -> Row:
        tone: Tone = "data"
        data = frame.payload if frame.data is None else frame.data
        details = [f"{len(data)} byte{'s' * (len(data) != 1)}"]
        label = _payload(data, text=frame.text is not None)
        if frame.opcode is Opcode.CLOSE:
            self._closes.add(frame.direction)
            tone, label, details = "close", close_text(frame), []
        elif frame.opcode in (Opcode.PING, Opcode.PONG):
            # libraries send four random bytes
            tone, label = "control", "" if len(frame.payload) in (0, 4) else label
        if not frame.fin:
            details.append("more follows")
        if frame.rsv1:
            details.append("compressed")
        if frame.masked:
            details.append("masked")
        if frame.error:
            tone = "bad"
            details.append(frame.error)
        return Row(tone, frame.opcode.name, frame.direction, label, " · ".join(details), lost=frame.held)

    def _bytes(self, event: TapBytes) -> Iterator[Row]:
        if event.note.startswith("TLS"):
            # how many bytes in how many pieces differs from run to run: one row for all of it
            if event.data[0] == TLS_ALERT:
                yield Row("bad", "TLS alert", event.direction, lost=event.held)
            elif not self._opaque:
                self._opaque = True
                yield Row("data", "TLS", label="encrypted bytes", detail="the tap passes them on and cannot read them")
            return
        label = _payload(event.data, text=event.data.isascii())
        yield Row("bad", "bytes", event.direction, label, excerpt(event.note), lost=event.held)

    def _connection_event(self, event: ConnectionEvent) -> Iterator[Row]:
        if event.kind == "fault":
            comma = "" if event.text.endswith("reading") else ","
            side = "" if event.direction is None else f"{comma} what the {event.direction} sends"
            yield Row("bad" if event.text != "mended" else "tcp", f"{event.text}{side}")
        elif event.kind == "limit":
            yield Row("bad", event.text)
        elif event.kind == "reset" and not self._over:
            self._over = True
            label = "" if event.direction else "by the tap, both ways"
            yield Row("bad", "TCP reset (RST)", event.direction, label, lost=event.held)
        elif event.kind == "end" and not self._over:
            yield from self._ended(event)

    def _ended(self, event: ConnectionEvent) -> Iterator[Row]:
        """Yield a row for an end without a close frame; after a close frame, it is chance which side ends first."""
        if event.held:
            yield Row("bad", "TCP end", event.direction, lost=True)
        elif self._upgraded and not self._closes:
            self._over = True
            yield Row("bad", "TCP end", event.direction, label="without a close frame")


def _hidden(row: Row, hide: Sequence[str]) -> Row:
    if not hide:
        return row

    def clean(text: str) -> str:
        for secret in hide:
            text = text.replace(secret, "random") if secret else text
        return text

    fields = tuple((name, clean(value), stands or clean(value) != value) for name, value, stands in row.fields)
    return replace(row, head=clean(row.head), label=clean(row.label), fields=fields)


def _stream(response: TapResponse) -> Iterator[Row]:
    """Yield one row for each event of a server-sent event stream."""
    if response.headers.get("Content-Type", "").startswith("text/event-stream"):
        text = response.body.decode(errors="replace").replace("\r\n", "\n")
        for part in text.split("\n\n"):
            if part.strip():
                yield Row("data", "event", "server", excerpt(scrubbed(part.replace("\n", " · "))))


def _is_text(event: TapRequest | TapResponse) -> bool:
    kind = event.headers.get("Content-Type", "")
    return kind.startswith("text/") or any(word in kind for word in ("json", "xml", "urlencoded"))


def _payload(data: bytes, *, text: bool) -> str:
    if not text:
        return f"{data[:12].hex(' ')}{' …' if len(data) > 12 else ''}"
    shown = excerpt(scrubbed(data[:500].decode(errors="replace")))
    return shown if shown[:1] in ("{", "[", '"', "") else f'"{shown}"'


def close_text(frame: TapFrame) -> str:
    """Return the code of a close frame, its name, and the reason."""
    close = frame.close
    if close is None:
        return "not valid"
    if not frame.payload:
        return "without a code"
    code = int(close.code)
    known = {one.value: one.name.replace("_", " ").lower() for one in CloseCode}
    name = known.get(code, "private use" if code >= 4000 else "registered")
    return f"{code} {name}" + (f' "{excerpt(scrubbed(close.reason))}"' if close.reason else "")


def scrubbed(text: str) -> str:
    """Return the text without the ports of this machine, which differ from run to run."""
    return _PORT.sub(r"\1:…", text)
