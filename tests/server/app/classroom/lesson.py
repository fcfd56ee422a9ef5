"""A class for the tests: the chat with its teacher, who sees and does what the teacher's page does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from unittest.mock import patch

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from server import BackgroundServer
from server.app.classroom import teacher as desk
from tests.server.people import DEADLINE, Chat, chat

__all__ = ["Lesson", "TeacherClient", "lesson"]

View = dict[str, Any]


class TeacherClient:
    """Somebody who has the key, or says so."""

    def __init__(self, server: BackgroundServer, word: str | None, *, origin: str | None = None) -> None:
        options: dict[str, Any] = {"proxy": None, "compression": None, "max_queue": None, "origin": origin}
        self.socket = connect(server.url("/teacher/ws"), close_timeout=DEADLINE, **options).__enter__()
        if word is not None:
            with suppress(ConnectionClosed):  # the server may have closed it already
                self.socket.send(word)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.socket.close()

    def tell(self, type: str, **fields: Any) -> None:  # noqa: A002
        """Ask for something."""
        self.socket.send(json.dumps({"type": type, **fields}))

    def receive(self, type: str) -> View:  # noqa: A002
        """The next message of this type."""
        while True:
            message: View = json.loads(self.socket.recv(timeout=DEADLINE))
            if message["type"] == type:
                return message

    def end(self) -> int:
        """With what code the server closes this connection; 1006 without a close frame."""
        try:
            while True:
                self.socket.recv(timeout=DEADLINE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def until(self, is_so: Callable[[View], object]) -> View:
        """The first view of the class in which something is so."""
        deadline = time.monotonic() + DEADLINE
        while not is_so(view := self.receive("class")):
            assert time.monotonic() < deadline, view
        return view

    def student(self, user: str) -> View:
        """Return the only connection of a student as soon as it appears."""
        view = self.until(lambda view: user in [student["user"] for student in view["students"]])
        [found] = [student for student in view["students"] if student["user"] == user]
        return dict(found)

    def ending(self, user: str) -> View:
        """Return how this student's connection ended, as soon as it appears."""
        view = self.until(lambda view: user in [ending["user"] for ending in view["ended"]])
        return dict(next(ending for ending in view["ended"] if ending["user"] == user))


@dataclass(frozen=True)
class Lesson:
    """A class that is open, with its teacher."""

    chat: Chat
    server: BackgroundServer
    key: str
    teacher: TeacherClient


@contextmanager
def lesson(**limits: Any) -> Iterator[Lesson]:
    """Open a class, and let its teacher in."""
    with chat(classroom=True, **limits) as room:
        app: Any = room.hall.app
        key: str = app.state.classroom.key
        word = json.dumps({"type": "teacher", "key": key})
        # the teacher looks more often than in a lesson, so that nobody waits for it here
        with patch.object(desk, "INTERVAL", 0.05), TeacherClient(room.server, word) as teacher:
            yield Lesson(room, room.server, key, teacher)
