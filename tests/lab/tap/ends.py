"""Both ends of a connection through a tap, and what a test does with them."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from fastapi import FastAPI, WebSocket
from lab.tap.tap import Tap
from websockets.asyncio.client import connect as connect_async

HOST = "127.0.0.1"


class Ends:
    """A client's socket, the server's socket for it, and the tap between them."""

    def __init__(self, tap: Tap, listener: socket.socket) -> None:
        self.tap = tap
        self.client = socket.create_connection((HOST, tap.port), timeout=30)
        self.server, _ = listener.accept()
        self.server.settimeout(30)

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.server.close()


def echo() -> FastAPI:
    """Return an app that sends every text back."""
    app = FastAPI()

    @app.websocket("/ws")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return app


def exactly(end: socket.socket, size: int) -> bytes:
    """Read this many bytes, or fewer when the other end closes."""
    data = b""
    while len(data) < size and (more := end.recv(min(size - len(data), 1 << 16))):
        data += more
    return data


def nothing_arrives(end: socket.socket) -> bool:
    """Return whether there is neither a byte nor an end to read."""
    end.setblocking(False)
    try:
        return end.recv(1) is None
    except BlockingIOError:
        return True
    finally:
        end.settimeout(30)


async def echoed(url: str, trust: ssl.SSLContext, text: str) -> str | bytes:
    """Send a text over TLS, and return the answer."""
    # the synchronous client shares one TLS session between two threads, which OpenSSL forbids: it hangs now and then
    async with connect_async(url, ssl=trust) as client:
        await client.send(text)
        return await client.recv()


def send_often(end: socket.socket, data: bytes, count: int) -> None:
    """Send the same bytes many times."""
    for _ in range(count):
        end.sendall(data)


def send_until(end: socket.socket, stop: threading.Event) -> None:
    """Send bytes until an event is set, or the connection ends."""
    with suppress(OSError):
        while not stop.is_set():
            end.sendall(b"x" * 65_536)


def read_to_the_end(end: socket.socket) -> None:
    """Read, and drop what is read, until the connection ends."""
    with suppress(OSError):
        while end.recv(1 << 20):
            pass


def nothing_accepted(listener: socket.socket) -> bool:
    """Return whether no connection waits to be accepted."""
    listener.setblocking(False)
    try:
        return listener.accept() is None
    except BlockingIOError:
        return True
    finally:
        listener.settimeout(30)


def fill(end: socket.socket) -> int:
    """Send until no buffer takes more, and return how much that was."""
    end.settimeout(0.3)
    sent = 0
    with suppress(TimeoutError):
        while sent < 100_000_000:
            sent += end.send(b"x" * 65_536)
    end.settimeout(30)
    return sent
