"""Who is in class: every connection of the chat with its number, and how the last ones have ended."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque

from fastapi import WebSocket

from ..broadcasting import Outbox
from ..echo import Ended
from ..frames import EXTENSION
from ..manager import Connection
from ..messages import CloseCode
from .messages import ClassState, Ending, OutboxLimits
from .progress import Progress
from .student import Student

__all__ = ["Roll"]

KEPT = 50  # connections that have ended


class Roll:
    """Every connection of one app, by number; the `Attendance` of its chat."""

    def __init__(self, progress: Progress, limits: OutboxLimits) -> None:
        """Begin with nobody; `progress` has what users share."""
        self._limits = limits
        self._progress = progress
        self._numbers = itertools.count(1)
        self._students: dict[Connection, Student] = {}  # in the order of their coming
        self._ended: deque[Ending] = deque(maxlen=KEPT)

    def enter(self, connection: Connection, outbox: Outbox, websocket: WebSocket) -> None:
        """A connection has come."""
        offer = websocket.scope.get("extensions", {}).get(EXTENSION)
        link = None if offer is None else offer["connection"]
        self._students[connection] = Student(next(self._numbers), connection, outbox, link)

    def leave(self, connection: Connection, ended: Ended) -> None:
        """A connection has ended."""
        student = self._students.pop(connection)
        code, reason = ended.code, ended.reason
        if student.was_cut:
            code, reason = CloseCode.ABNORMAL, "cut by the teacher"
        self._ended.append(Ending(user=connection.user, code=code, reason=reason, at=time.time()))

    def student(self, number: int) -> Student | None:
        """The connection of this number, or None where it has ended or never was."""
        return next((student for student in self._students.values() if student.number == number), None)

    def look(self, join: str) -> ClassState:
        """What there is to see now; `join` is the address that students open."""
        now = asyncio.get_running_loop().time()
        return ClassState(
            join=join,
            limits=self._limits,
            students=tuple(
                student.look(now, self._progress.of(student.connection.user)) for student in self._students.values()
            ),
            ended=tuple(self._ended),
        )
