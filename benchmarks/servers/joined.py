"""No server but a source: it writes ready-made, joined frames as fast as they are taken, to measure the load client."""

from __future__ import annotations

import base64
import hashlib
import os
import selectors
import socket
import sys
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT = b"x" * 128


def block(frames: int) -> bytes:
    """So many text frames of 128 bytes."""
    return (b"\x81\x7e\x00\x80" + TEXT) * frames


def shake(connection: socket.socket) -> None:
    """Answer a handshake that comes in one piece."""
    request = connection.recv(4096)
    key = request.lower().split(b"sec-websocket-key:")[1].split(b"\r\n")[0].strip()
    at = request.lower().index(key)
    accept = base64.b64encode(hashlib.sha1(request[at : at + len(key)] + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def main(listener: socket.socket, frames: int) -> None:
    """Take connections, and once the first has spoken, write to whoever has room."""
    data = block(frames)
    pending: dict[socket.socket, memoryview] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is listener:
                    newcomer, _ = listener.accept()
                    shake(newcomer)
                    newcomer.setblocking(False)
                    selector.register(newcomer, selectors.EVENT_READ)
                    pending[newcomer] = memoryview(b"")
                elif key.events & selectors.EVENT_READ:
                    connection.recv(1 << 16)
                    for each in pending:
                        selector.modify(each, selectors.EVENT_WRITE)
                else:
                    rest = pending[connection] or memoryview(data)
                    pending[connection] = rest[connection.send(rest) :]


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print("ready", flush=True)
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
