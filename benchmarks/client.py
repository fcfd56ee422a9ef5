"""One WebSocket connection by hand: the least that a handshake needs, and frames that are not masked in earnest."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from benchmarks.compiled_counter import CompiledCounter, is_compiled
from benchmarks.frame_counter import FrameCounter

__all__ = ["BUFFER", "Client", "Greeting", "LostError", "StalledError", "frame", "new_counter"]

PATIENCE = 5.0  # seconds for a handshake
BUFFER = 1 << 16  # bytes read at a time
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
)


class StalledError(Exception):
    """Nobody has got anything for too long."""


class LostError(Exception):
    """The server has closed connections, or refused them."""


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """How to get a connection to the point where it receives broadcasts."""

    path: str = "/ws"
    headers: str = ""
    """Further lines of the request, each with its end."""
    hello: tuple[str, ...] = ()
    """Text messages to send after the handshake."""
    answers: int = 0
    """Messages that come before the first broadcast, and are not counted."""


def frame(text: str) -> bytes:
    """A text frame from a client; its mask is four zeros, which leave the text as it is."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x81, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x81, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x81, 0x80 | 127, size)
    return head + bytes(4) + payload


def new_counter() -> CompiledCounter | FrameCounter:
    """Return the fastest counter that works here."""
    return CompiledCounter() if is_compiled() else FrameCounter()


class Client:
    """A connection and what it has received; until it is in, it waits for the server, with a deadline."""

    def __init__(self, port: int, greeting: Greeting, *, receive_buffer: int | None = None) -> None:
        """Ask the server on `port` to let it in; `receive_buffer` is that of the kernel, in bytes."""
        self.counter = new_counter()
        self.socket = socket.socket()
        self._greeting = greeting
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(REQUEST.format(path=greeting.path, headers=greeting.headers).encode())

    def shake(self) -> None:
        """Read the answer to the handshake, and say what is to be said first.

        Raises:
            LostError: the server refused.
            StalledError: the server did not answer in time.
        """
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise LostError(f"refused with {head.splitlines()[0].decode()!r}")
        self.counter.feed(rest)
        self.socket.sendall(b"".join(map(frame, self._greeting.hello)))

    def hear(self) -> None:
        """Read the messages that come before the first broadcast.

        Raises:
            LostError: the server closed the connection.
            StalledError: they did not come in time.
        """
        while self.counter.messages < self._greeting.answers:
            self.counter.feed(self._receive())

    def _receive(self) -> bytes:
        try:
            data = self.socket.recv(BUFFER)
        except TimeoutError:
            raise StalledError(f"no answer to a handshake within {PATIENCE:g} s") from None
        if not data:
            raise LostError("the server has closed a connection during its handshake")
        return data
