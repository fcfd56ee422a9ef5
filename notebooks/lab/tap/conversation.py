"""What crossed one TCP connection, in both directions and in order, as a tap captured it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Opcode
from websockets.headers import parse_extension

from server.testing.tapped_connection import ConnectionEvent, Direction, TappedConnection

from .events import Event
from .frames import FrameReader, TapBytes, TapFrame
from .http import HttpExchange, HttpReader, TapRequest, TapResponse
from .traffic import RecordingLimit, Traffic
from .transcript import lines, rows

__all__ = ["Conversation"]

SIDES: tuple[Direction, Direction] = ("client", "server")
ITEM_COST = 1_024  # bytes that a recorded item takes in memory beside its bytes, generously


class Conversation(TappedConnection):
    """One TCP connection through a tap: its HTTP messages, its frames, its end; see `Tap.conversations`."""

    def __init__(self, number: int, limit: RecordingLimit, settle: Callable[[float], None]) -> None:
        super().__init__(number)
        self.truncated = not limit.take(ITEM_COST)
        """Whether recording stopped because the tap's limit was reached; the bytes passed all the same."""
        self._limit = limit
        self._settle = settle
        self._items: list[Event] = []
        self._http = HttpReader()
        self._frames: dict[Direction, FrameReader] = {}

    # what crossed it

    @property
    def events(self) -> list[Event]:
        """Everything in the order the tap saw it: requests, responses, frames, other bytes, notes.

        What is not complete yet comes last, as bytes.
        """
        return [*self._items, *self._pending()]

    @property
    def frames(self) -> list[TapFrame]:
        """Every frame, both directions, in the order the tap saw them."""
        return [item for item in self.events if isinstance(item, TapFrame)]

    @property
    def exchanges(self) -> list[HttpExchange]:
        """HTTP requests with their responses, the handshake's among them."""
        found: list[HttpExchange] = []
        for item in self.events:
            if isinstance(item, TapRequest):
                found.append(HttpExchange(item))
            elif isinstance(item, TapResponse):
                for exchange in found:
                    if exchange.response is None or not exchange.response.final:
                        exchange.response = item
                        break
        return found

    @property
    def requests(self) -> list[TapRequest]:
        """Every HTTP request, the handshake's among them."""
        return [item for item in self.events if isinstance(item, TapRequest)]

    @property
    def request(self) -> TapRequest | None:
        """The first HTTP request: a WebSocket's handshake."""
        return next(iter(self.requests), None)

    @property
    def response(self) -> TapResponse | None:
        """The response to the first request: 101 where the handshake succeeded."""
        return next((item for item in self.events if isinstance(item, TapResponse) and item.final), None)

    # how much, and how it ended

    @property
    def kind(self) -> Literal["websocket", "http", "tls", "bytes", "silent"]:
        """What was spoken, as far as the tap can read it."""
        if self._frames:
            return "websocket"
        items = self.events
        if any(isinstance(item, (TapRequest, TapResponse)) for item in items):
            return "http"
        opaque = [item for item in items if isinstance(item, TapBytes)]
        if not opaque:
            return "silent"
        return "tls" if opaque[0].note.startswith("TLS") else "bytes"

    @property
    def up(self) -> Traffic:
        """What the client sent, in bytes of payload and of headers."""
        return self._traffic("client")

    @property
    def down(self) -> Traffic:
        """What the server sent, in bytes of payload and of headers."""
        return self._traffic("server")

    @property
    def close_code(self) -> int | None:
        """The code of the first close frame, None where the connection had none."""
        return next((frame.code for frame in self.frames if frame.opcode is Opcode.CLOSE), None)

    @property
    def close_reason(self) -> str | None:
        """The reason of the first close frame, None where the connection had none."""
        return next((frame.reason for frame in self.frames if frame.opcode is Opcode.CLOSE), None)

    def settle(self, timeout: float = 1.0) -> Conversation:
        """Wait until the tap has recorded what was sent to it, and a close that has begun is finished."""
        self._settle(timeout)
        return self

    def transcript(self) -> tuple[str, ...]:
        """Return what happened, one line each, without what differs from run to run (keys, masks, ports, dates).

        Two conversations that say the same have the same transcript.
        """
        self.settle()
        return lines(rows(self.events, self.outcome))

    # the tap writes

    def record(self, direction: Direction, data: bytes, *, held: bool = False) -> None:
        """Add bytes that `direction` sent; called by the tap, before it passes them on."""
        super().record(direction, data, held=held)
        if self.truncated:
            return
        if not self._limit.take(len(data)):
            self._stop_recording()
            return
        try:
            for item in self._parsed(direction, data):
                self._add(item, held=held)
        except Exception as error:  # the bytes must pass, whatever the tap makes of them
            self._stop_recording(f"{type(error).__name__}: {error}")

    def report(self, event: ConnectionEvent) -> None:
        """Add something that happened to the connection itself."""
        super().report(event)
        self._add(event, held=event.held)

    def _add(self, item: Event, *, held: bool) -> None:
        if self.truncated:
            return
        last = self._items[-1] if self._items else None
        if isinstance(item, TapBytes) and isinstance(last, TapBytes) and last.direction == item.direction:
            last.data += item.data
            return
        item.held = held
        self._items.append(item)
        if not self._limit.take(ITEM_COST):
            self._stop_recording()

    def _stop_recording(self, reason: str = "") -> None:
        self.truncated = True
        reason = reason or f"the tap's limit of {self._limit.limit:,} bytes is reached"
        self._items.append(ConnectionEvent("limit", f"recording stopped: {reason}"))

    def _parsed(self, direction: Direction, data: bytes) -> Iterator[TapRequest | TapResponse | TapFrame | TapBytes]:
        if self._frames:
            yield from self._frames[direction].feed(data)
            return
        if protocol := self._http.upgrade:
            yield TapBytes(direction, data, f"upgraded to {protocol}")
            return
        for item in self._http.feed(direction, data):
            yield item
            if isinstance(item, TapResponse) and _is_websocket(item):
                self._frames = _readers(item)
        if self._http.upgrade:
            for side in SIDES:
                if rest := self._http.pending(side):
                    yield from self._parsed(side, rest)

    def _pending(self) -> Iterator[TapBytes]:
        for side in () if self.truncated else SIDES:
            if self._frames:
                begun = self._frames[side].pending
            else:
                begun = b"" if self._http.upgrade else self._http.pending(side)
            if begun:
                yield TapBytes(side, begun, "not complete")

    def _traffic(self, direction: Direction) -> Traffic:
        payload = heads = 0
        for item in self.events:
            if isinstance(item, ConnectionEvent) or item.direction != direction:
                continue
            if isinstance(item, TapFrame):
                payload += len(item.payload)
                heads += len(item.header)
            elif isinstance(item, TapBytes):
                payload += len(item.data)
            else:
                payload += len(item.body)
                heads += len(item.raw)
        return Traffic(self._bytes[direction], payload, heads)

    def __str__(self) -> str:
        return "\n".join(self.transcript())

    def __repr__(self) -> str:
        return f"<Conversation {self.number}: {self.kind}, {len(self.frames)} frames, {self.outcome}>"


def _is_websocket(response: TapResponse) -> bool:
    return response.status == 101 and response.headers.get("Upgrade", "").lower() == "websocket"


def _readers(response: TapResponse) -> dict[Direction, FrameReader]:
    up, down = _deflates(", ".join(response.headers.get_all("Sec-WebSocket-Extensions")))
    return {"client": FrameReader("client", up), "server": FrameReader("server", down)}


def _deflates(header: str) -> tuple[PerMessageDeflate | None, PerMessageDeflate | None]:
    """Return the negotiated compression twice: to inflate what the client sends, and what the server sends."""
    for name, parameters in parse_extension(header) if header else []:
        if name == PerMessageDeflate.name:
            seen = ClientPerMessageDeflateFactory().process_response_params(parameters, [])
            mirrored = PerMessageDeflate(
                seen.local_no_context_takeover,
                seen.remote_no_context_takeover,
                seen.local_max_window_bits,
                max(seen.remote_max_window_bits, 9),  # only used to deflate, which a tap never does
            )
            return mirrored, seen
    return None, None
