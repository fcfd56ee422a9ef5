"""HTTP as it crossed the wire: requests and their responses, parsed by h11."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import h11
from websockets.datastructures import Headers

from server.testing.tapped_connection import Direction

from .frames import TapBytes

__all__ = ["HttpExchange", "HttpReader", "TapRequest", "TapResponse"]

TLS_RECORDS = range(0x14, 0x18)  # first byte of a TLS record: change cipher spec, alert, handshake, data


@dataclass(slots=True)
class TapRequest:
    """A request: method, path, headers, and its head exactly as captured."""

    method: str
    path: str
    headers: Headers = field(repr=False)
    """Looked up without regard to case: ``request.headers["upgrade"]``."""
    raw: bytes = field(repr=False)
    """From the request line to the empty line, as captured."""
    body: bytes = field(default=b"", repr=False)
    held: bool = field(default=False, repr=False)
    direction: Direction = field(default="client", init=False, repr=False)


@dataclass(slots=True)
class TapResponse:
    """A response: status, headers, body so far, and its head exactly as captured."""

    status: int
    reason: str
    headers: Headers = field(repr=False)
    raw: bytes = field(repr=False)
    """From the status line to the empty line, as captured."""
    body: bytes = field(default=b"", repr=False)
    """What has come so far, without the framing of chunks."""
    held: bool = field(default=False, repr=False)
    direction: Direction = field(default="server", init=False, repr=False)

    @property
    def final(self) -> bool:
        """Whether this is the answer, and not a 100 Continue before it."""
        return self.status == 101 or self.status >= 200


@dataclass(slots=True)
class HttpExchange:
    """A request and the response to it, None while there is none."""

    request: TapRequest
    response: TapResponse | None = None


class HttpReader:
    """Both directions of HTTP/1.1: two h11 state machines that show each other what they read."""

    def __init__(self) -> None:
        # h11 plays the opposite role: as the server it reads what the client sends
        self._ends = {"client": h11.Connection(h11.SERVER), "server": h11.Connection(h11.CLIENT)}
        self._raw = {"client": bytearray(), "server": bytearray()}
        self._broken: dict[str, str] = {}
        self._bodies: dict[str, TapRequest | TapResponse] = {}
        self.upgrade = ""
        """What the connection switched to with a 101, empty while it is HTTP."""

    def feed(self, direction: Direction, data: bytes) -> Iterator[TapRequest | TapResponse | TapBytes]:
        """Yield each head as soon as it is complete; bodies grow in the objects yielded before."""
        if not self._raw[direction] and direction not in self._bodies and data[0] in TLS_RECORDS:
            self._broken.setdefault(direction, "TLS: encrypted")
        self._raw[direction] += data
        if direction not in self._broken:
            self._ends[direction].receive_data(data)
        found = True
        while found and not self.upgrade:
            found = False
            for side in ("client", "server"):
                for item in self._read(side):
                    found = True
                    if item is not None:
                        yield item
            if all(end.our_state is end.their_state is h11.DONE for end in self._ends.values()):
                for end in self._ends.values():
                    end.start_next_cycle()
                found = True

    def pending(self, direction: Direction) -> bytes:
        """Return bytes that are no complete head yet, or that follow the head that switched protocols."""
        return bytes(self._raw[direction])

    def _read(self, side: str) -> Iterator[TapRequest | TapResponse | TapBytes | None]:
        direction: Direction = "client" if side == "client" else "server"
        if direction not in self._broken:
            try:
                event = self._ends[direction].next_event()
                if isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
                    yield self._seen(direction, event)
            except h11.ProtocolError as error:
                self._broken[direction] = f"not HTTP: {error}"
        if direction in self._broken and self._raw[direction]:
            yield TapBytes(direction, self._take(direction, everything=True), self._broken[direction])

    def _seen(self, direction: Direction, event: h11.Event) -> TapRequest | TapResponse | None:
        raw = self._take(direction)
        other = self._ends["server" if direction == "client" else "client"]
        item: TapRequest | TapResponse | None = None
        if isinstance(event, h11.Request):
            item = TapRequest(event.method.decode(), event.target.decode("latin-1"), _headers(event), raw)
        elif isinstance(event, (h11.Response, h11.InformationalResponse)):
            item = TapResponse(event.status_code, event.reason.decode("latin-1"), _headers(event), raw)
            if event.status_code == 101:
                self.upgrade = item.headers.get("Upgrade", "").lower()
        elif isinstance(event, h11.Data):
            self._bodies[direction].body += bytes(event.data)
        if item is not None:
            self._bodies[direction] = item
        with suppress(h11.LocalProtocolError):  # the other end broke off before, it is not parsed any more
            other.send(event)
        return item

    def _take(self, direction: Direction, *, everything: bool = False) -> bytes:
        raw = self._raw[direction]
        size = len(raw) if everything else len(raw) - len(self._ends[direction].trailing_data[0])
        taken = bytes(raw[:size])
        del raw[:size]
        return taken


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items())
