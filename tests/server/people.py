"""Clients of the chat for the tests: one that talks, one that never reads, and a server that says what happens."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from server import BackgroundServer, serve
from server.access.tokens import issue_session
from server.app import create_app
from server.app.chat import allow_all
from server.app.chat_requests import MayJoin
from server.manager import Manager
from server.settings import Settings

__all__ = ["DEADLINE", "KEY", "Chat", "Hall", "Person", "Silent", "chat"]

DEADLINE = 60.0  # seconds that anything here may take, on a busy machine
KEY = "a secret of thirty-two characters"
JOIN = '{"type":"join","room":"lobby"}'


class Hall:
    """An ASGI app around another that says when a handler has ended and when a send has to wait."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.tasks: list[asyncio.Task[Any]] = []  # of the handlers that run, oldest first
        self.waiting = threading.Event()  # a send has given way to the loop, because a peer does not read
        self.left: list[str] = []  # tasks of the chat that ran when the last handler had ended
        self._ended = threading.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and take notes."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            await self.app(scope, receive, self._watched(send))
        finally:
            self.tasks.remove(task)
            if not self.tasks:
                names = [task.get_name() for task in asyncio.all_tasks()]
                self.left = [name for name in names if name.startswith(("conversation-", "outbox"))]
            with self._ended:
                self._ended.notify_all()

    def until_handlers(self, count: int) -> None:
        """Wait until so many handlers run."""
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.tasks) == count, DEADLINE)

    def _watched(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            waits = asyncio.get_running_loop().call_soon(self.waiting.set)
            await send(message)
            waits.cancel()

        return watched


@dataclass(frozen=True)
class Chat:
    """The chat on a real server, with what the tests look into."""

    server: BackgroundServer
    hall: Hall
    manager: Manager


@contextmanager
def chat(*, may_join: MayJoin = allow_all, port: int = 0, bound: bool = True, **limits: Any) -> Iterator[Chat]:
    """Serve the chat; `bound` is whether uvicorn is told the limits as well."""
    options: dict[str, Any] = {"key": KEY, "grace_seconds": 0}
    settings = Settings(**(options | limits))
    app = create_app(settings, may_join=may_join)
    hall = Hall(app)
    with serve(hall, port=port, **(settings.uvicorn_options if bound else {})) as server:
        yield Chat(server, hall, app.state.manager)


class Person:
    """A program that chats under a name, in a room from the beginning."""

    def __init__(
        self, server: BackgroundServer, name: str, *, room: str | None = "lobby", device: str = "", seconds: int = 60
    ) -> None:
        headers = {"Authorization": f"Bearer {issue_session(name, key=KEY, seconds=seconds)}"}
        address = server.url(f"/ws?device={device}")
        options: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": None, "close_timeout": DEADLINE}
        self.socket = connect(address, additional_headers=headers, **options).__enter__()
        if room is not None:
            self.send(type="join", room=room)
            self.receive("joined")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.socket.close()

    def send(self, **fields: Any) -> None:
        """Send one message."""
        self.socket.send(json.dumps(fields))

    def say(self, text: str, id: int | None = None) -> None:  # noqa: A002
        """Say something in the lobby."""
        self.send(type="say", room="lobby", text=text, **({} if id is None else {"id": id}))

    def next(self) -> dict[str, Any]:
        """The next message, whatever it is."""
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=DEADLINE))
        return message

    def receive(self, type: str) -> dict[str, Any]:  # noqa: A002
        """The next message of this type; others are passed over."""
        while (message := self.next())["type"] != type:
            pass
        return message

    def answers(self) -> bool:
        """Whether the connection lives: what is said in the lobby comes back."""
        self.say("are you there?", id=-1)
        while self.receive("message").get("id") != -1:
            pass
        return True

    def end(self) -> tuple[int, str]:
        """Read until the server closes: the code and the reason, 1006 without a close frame."""
        try:
            while True:
                self.socket.recv(timeout=DEADLINE)
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


class Silent:
    """A client that connects, joins the lobby and then never reads; its system takes little for it."""

    def __init__(self, server: BackgroundServer, name: str, *, greeting: str = JOIN) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        # before it connects, when both are agreed on; else loopback takes megabytes before a sender waits
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        if hasattr(socket, "TCP_MAXSEG"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Authorization: Bearer {issue_session(name, key=KEY, seconds=60)}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        self.send(Opcode.TEXT, greeting.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        with suppress(OSError):  # it has vanished
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def send(self, opcode: Opcode, payload: bytes, *, mask: bool = True) -> None:
        """Send one frame, whatever is in it."""
        self.socket.sendall(Frame(opcode, payload).serialize(mask=mask))

    def read_until(self, end: str) -> None:
        """Read until this has come, and then no more."""
        received = b""
        while end.encode() not in received:
            data = self.socket.recv(4_096)
            assert data, f"the server closed before {end!r}: {received!r}"
            received += data

    def read_all(self) -> bytes:
        """Begin to read after all, until the server ends the connection."""
        received = bytearray()
        while data := self.socket.recv(65_536):
            received += data
        return bytes(received)

    def vanish(self) -> None:
        """Close with RST instead of a goodbye, as the system does for a process that is killed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
