"""A cheap client for the tens of thousands: an asyncio protocol that answers pings and counts what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.client import REQUEST, LostError, frame

__all__ = ["Peer", "open_peer"]

PATIENCE = 60.0  # seconds for a handshake, when ten thousand others are on their way
PONG = b"\x8a\x84\0\0\0\0"  # with an empty mask; uvicorn's pings have four bytes
TEXT, CLOSE, PING = 1, 8, 9


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, on_text: Callable[[Peer, bytes], None]) -> None:
        self.transport: asyncio.Transport
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_lost = False
        self.goodbye = b""
        """The payload of the close frame, when there was one."""
        self.last = 0
        """The offset of the last message."""
        self._request = request
        self._on_text = on_text
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask to be let in."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        self.is_lost = True
        if not self.ready.done():
            self.ready.set_exception(LostError("the server has closed a connection during its handshake"))

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, and then frames."""
        data = self._unread + data
        if not self.ready.done():
            head, found, rest = data.partition(b"\r\n\r\n")
            if found and b" 101 " in head[:20]:
                self.ready.set_result(None)
            elif found:
                self.ready.set_exception(LostError(f"refused with {head.splitlines()[0].decode()!r}"))
            data = rest if found else data
        self._unread = self._read(data) if self.ready.done() else data

    def say(self, text: str) -> None:
        """Send a text message."""
        self.transport.write(frame(text))

    def _read(self, data: bytes) -> bytes:
        start = 0
        while len(data) - start >= 2:
            size, body = data[start + 1], start + 2
            if size == 126:
                size, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            elif size == 127:
                size, body = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
            if len(data) < body + size:
                break
            self._take(data[start] & 0x0F, data[body : body + size])
            start = body + size
        return data[start:]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._on_text(self, payload)
        elif opcode == PING:
            self.transport.write(PONG + payload)
        elif opcode == CLOSE:
            self.goodbye = payload


async def open_peer(port: int, token: str, on_text: Callable[[Peer, bytes], None]) -> Peer:
    """Connect under the name that the token proves.

    Raises:
        LostError: the server refused.
        TimeoutError: it did not answer in time.
    """
    request = REQUEST.format(path="/ws", headers=f"Authorization: Bearer {token}\r\n").encode()
    async with asyncio.timeout(PATIENCE):
        _, peer = await asyncio.get_running_loop().create_connection(lambda: Peer(request, on_text), "127.0.0.1", port)
        await peer.ready
    return peer
