"""A thousand cheap clients, to measure a server and not its clients: ``with Audience(url, 1_000) as audience``.

Each is a bare socket after its handshake. Nothing is read until `receive` is called, and then a message
costs a few microseconds, so the time that passes is the server's.
"""

from __future__ import annotations

import socket
import time
from typing import Self
from urllib.parse import urlsplit

from server.run.registry import discard, enter, stop_earlier_run

from ..servers.descriptors import allow_descriptors

__all__ = ["Audience"]

DEADLINE = 30.0  # seconds in which a handshake must be answered, far above what a busy machine needs
AT_ONCE = 50  # handshakes that are under way at the same time, below a server's usual backlog
CHUNK = 1 << 16  # bytes that one read takes at most
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
)
OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


class Audience:
    """`n` clients of the server at `url`, numbered from 0.

    `deflate` offers compression, as browsers do. Leaving the block ends every connection without a close frame.
    """

    def __init__(self, url: str, n: int, *, deflate: bool = False) -> None:
        if n < 1:
            raise ValueError(f"an audience of {n!r} receives nothing; pass 1 or more")
        self.n = n
        self._url = urlsplit(url)
        self._offer = OFFER if deflate else ""
        self._listeners: list[_Listener] = []

    def start(self) -> Self:
        """Connect every client.

        Raises:
            RuntimeError: a client was refused, or the limit of file descriptors is too low.
            TimeoutError: a client got no answer within 30 s.
        """
        stop_earlier_run()
        allow_descriptors(2 * self.n)  # this process holds the server's end as well
        enter(self)
        path = f"{self._url.path or '/'}{'?' if self._url.query else ''}{self._url.query}"
        upgrade = UPGRADE.format(path=path, offer=self._offer).encode()
        try:
            for first in range(0, self.n, AT_ONCE):
                for _ in range(first, min(first + AT_ONCE, self.n)):
                    self._listeners.append(_Listener((self._url.hostname or "", self._url.port or 0), upgrade))
                for listener in self._listeners[first:]:
                    listener.shake_hands()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every connection; do nothing when they have ended."""
        for listener in self._listeners:
            listener.end()
        self._listeners.clear()
        discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Audience of {self.n}>"

    @property
    def ports(self) -> list[int]:
        """The local port of each client, by which a server can tell them apart."""
        return [listener.port for listener in self._listeners]

    def receive(self, messages: int, *, among: slice = slice(None), timeout: float = 15.0) -> float:
        """Read until each client of the slice `among` has this many more messages, and return when the last had them.

        What it returns is a time of ``time.perf_counter()``. The last client is read first: while that waits,
        the server has the processor for itself.

        Raises:
            TimeoutError: a client had fewer within `timeout` seconds; the message says how many.
        """
        listeners = self._listeners[among]
        deadline = time.monotonic() + timeout
        moment = 0.0
        for listener in reversed(listeners):
            if (got := listener.read(messages, deadline)) < messages:
                who = self._listeners.index(listener)
                raise TimeoutError(f"listener {who} has {got} of {messages} messages after {timeout:g} s")
            moment = moment or time.perf_counter()
        return moment

    def count_received(self, messages: int, *, among: slice = slice(None), timeout: float = 0.3) -> int:
        """Return how many of this many messages have reached every client of `among` within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        return min(listener.read(messages, deadline) for listener in self._listeners[among])


class _Listener:
    """One socket, and what it has read of a frame that is not complete."""

    def __init__(self, address: tuple[str, int], upgrade: bytes) -> None:
        self._pending = bytearray()
        self._socket = socket.create_connection(address, DEADLINE)
        self._socket.sendall(upgrade)
        self.port: int = self._socket.getsockname()[1]

    def shake_hands(self) -> None:
        while b"\r\n\r\n" not in self._pending:
            if not (data := self._socket.recv(CHUNK)):
                raise RuntimeError("the server hung up in the middle of the handshake; its log says why")
            self._pending += data
        head, _, rest = self._pending.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the handshake was refused: {head.splitlines()[0].decode('latin-1')}")
        self._pending = bytearray(rest)

    def end(self) -> None:
        self._socket.close()

    def read(self, messages: int, deadline: float) -> int:
        """Read this many messages, or fewer when the time is over or the connection ends."""
        got = 0
        while True:
            while got < messages and (size := _frame_size(self._pending)) and size <= len(self._pending):
                got += (self._pending[0] & 0x0F) <= 2  # a control frame is no message
                del self._pending[:size]
            if got == messages:
                return got
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(CHUNK)
            except TimeoutError:
                return got
            if not data:
                return got
            self._pending += data


def _frame_size(data: bytearray) -> int:
    """Return the size in bytes of the unmasked frame that begins here; 0 while it is not known."""
    if len(data) < 2:
        return 0
    length = data[1] & 0x7F
    if length < 126:
        return 2 + length
    size = 4 if length == 126 else 10
    return size + int.from_bytes(data[2:size]) if len(data) >= size else 0
