"""What the tests of the answers share: a server with a model that waits for the test, and clients that read."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from server import BackgroundServer, ServerProcess, serve
from server.access.tokens import issue_session
from server.app import create_app
from server.app.answers.model import Piece
from server.settings import Settings

__all__ = ["DEADLINE", "KEY", "Reader", "Stage", "StepModel", "answering", "bearer", "text_of"]

DEADLINE = 60.0  # seconds that anything here may take
KEY = "a secret of thirty-two characters"


class StepModel:
    """A model that makes a token each time the test allows one, and says what became of it."""

    def __init__(self, *pieces: Piece, allowed: int = 0, error: Exception | None = None) -> None:
        self.pieces = pieces or tuple(f"{number} " for number in range(1_000))
        self.prompts: list[str] = []
        self.made = 0
        self.closed = threading.Event()
        self._error = error
        self._allowed = asyncio.Semaphore(allowed)
        self._loop: asyncio.AbstractEventLoop | None = None

    def allow(self, count: int) -> None:
        """Let it make so many more tokens."""
        for _ in range(count):
            if self._loop is None:
                self._allowed.release()
            else:
                self._loop.call_soon_threadsafe(self._allowed.release)

    async def __call__(self, prompt: str) -> AsyncGenerator[Piece, None]:
        """Answer a prompt."""
        self._loop = asyncio.get_running_loop()
        self.prompts.append(prompt)
        try:
            for piece in self.pieces:
                await self._allowed.acquire()
                self.made += 1
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.closed.set()


@dataclass(frozen=True)
class Stage:
    """A server that answers."""

    server: BackgroundServer
    numbers: Any

    def until_ended(self, reason: str) -> None:
        """Wait until an answer has ended for this reason."""
        ticks = threading.Event()
        for _ in range(int(DEADLINE / 0.01)):
            if self.numbers.ended[reason]:
                return
            ticks.wait(0.01)
        raise AssertionError(f"no answer has ended with {reason!r}: {self.numbers}")


@contextmanager
def answering(model: StepModel, *, bound: bool = True, **limits: Any) -> Iterator[Stage]:
    """Serve the answers of a model; `bound` is whether uvicorn has our protocol, with the fast outbox."""
    options: dict[str, Any] = {"key": KEY, "answer_silence_seconds": 2.0, "messages_per_second": 1e6}
    settings = Settings(**(options | limits))
    app = create_app(settings, model=model)
    with serve(app, **(settings.uvicorn_options if bound else {})) as server:
        yield Stage(server, app.state.answers.statistics)


def bearer(user: str) -> dict[str, str]:
    """The header that proves a name."""
    return {"Authorization": f"Bearer {issue_session(user, key=KEY, seconds=60)}"}


class Reader:
    """A program that asks and reads under a name."""

    def __init__(self, server: BackgroundServer | ServerProcess, user: str = "ana", *, slow: bool = False) -> None:
        """Connect; a slow one reads only when the test does, and its system takes little for it."""
        options: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": None, "close_timeout": DEADLINE}
        if slow:
            options |= {"sock": _small_socket(server.port), "max_queue": 1}
        self.socket = connect(server.url("/answers"), additional_headers=bearer(user), **options).__enter__()
        assert self.next()["type"] == "welcome"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.socket.close()

    def send(self, type: str, answer: str, **fields: Any) -> None:  # noqa: A002
        """Send one message about an answer."""
        self.socket.send(json.dumps({"type": type, "answer": answer, **fields}))

    def ask(self, answer: str = "a", prompt: str = "hello") -> dict[str, Any]:
        """Ask, and return the reply."""
        self.send("ask", answer, prompt=prompt)
        return self.next()

    def resume(self, answer: str = "a", after: Any = None) -> dict[str, Any]:
        """Resume, and return the reply."""
        self.send("resume", answer, **({} if after is None else {"after": after}))
        return self.next()

    def next(self) -> dict[str, Any]:
        """The next message, whatever it is."""
        message: dict[str, Any] = json.loads(self.socket.recv(timeout=DEADLINE))
        return message

    def take(self, count: int) -> list[dict[str, Any]]:
        """Texts until so many tokens have come."""
        found: list[dict[str, Any]] = []
        while len(text_of(found).split()) < count:
            found.append(self.next())
        return found

    def rest(self) -> list[dict[str, Any]]:
        """Everything until the answer ends."""
        found = [self.next()]
        while found[-1]["type"] not in ("end", "failed"):
            found.append(self.next())
        return found

    def lose(self) -> None:
        """End the connection with RST, as a phone in a tunnel or a killed program does."""
        self.socket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.socket.shutdown(socket.SHUT_RD)  # wakes the library's thread, which then closes the socket
        self.socket.recv_events_thread.join(DEADLINE)

    def end(self) -> tuple[int, str]:
        """Read until the server closes: the code and the reason, 1006 without a close frame."""
        try:
            while True:
                self.socket.recv(timeout=DEADLINE)
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


def text_of(messages: list[dict[str, Any]]) -> str:
    """The texts of some messages, joined."""
    return "".join(message["text"] for message in messages if message["type"] == "text")


def _small_socket(port: int) -> socket.socket:
    """A connected socket for which the system keeps few bytes; by default loopback takes megabytes."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    if hasattr(socket, "TCP_MAXSEG"):
        small.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1_460)
    small.connect(("127.0.0.1", port))
    return small
