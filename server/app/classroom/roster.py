"""The roster of a class: every connection of the chat with its number, and how the last ones ended."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque

from fastapi import WebSocket

from ...broadcasting import Outbox
from ...echo import Ended
from ...manager import Connection
from ...messages import CloseCode
from ...wire.protocol import EXTENSION, FanoutProtocol
from .messages import ClassState, Ending, Lessons, OutboxLimits, StudentState
from .progress import Progress
from .throttle import ThrottledProtocol

__all__ = ["Roster", "Student"]

KEPT = 50  # connections that have ended


class Student:
    """One connection, as the teacher sees and controls it. Every method runs on the loop's thread; none waits.

    `lag` is measured by looking. Each look remembers the total number of messages so far, so a later look can tell
    since when the oldest message has been waiting. A delivery costs nothing extra, and neither does a class that
    no teacher watches.
    """

    __slots__ = ("_outbox", "_seen", "_slow", "_transport", "connection", "number", "was_cut")

    def __init__(self, number: int, connection: Connection, outbox: Outbox, transport: FanoutProtocol | None) -> None:
        """Take a connection; `transport` is None if the server can neither slow nor cut it."""
        self.number = number
        self.connection = connection
        self.was_cut = False
        self._outbox = outbox
        self._transport = transport
        self._slow: int | None = None
        self._seen: deque[tuple[int, float]] = deque()  # (messages so far, time of the look), while one is waiting

    def snapshot(self, now: float, progress: Lessons | None) -> StudentState:
        """Return the state at time `now`, by a monotonic clock."""
        held = self._outbox.statistics()
        connection = self.connection
        return StudentState(
            id=self.number,
            user=connection.user,
            device=connection.device,
            rooms=tuple(connection.rooms),
            waiting=held.messages,
            bytes=held.size,
            lag=round(self._lag(held.messages, now), 2),
            sent=held.sent,
            dropped=held.dropped,
            slow=self._slow,
            progress=progress,
        )

    def kick(self) -> None:
        """Close the connection with 4003, so that the client stays away."""
        self.connection.end(CloseCode.FORBIDDEN, "the teacher has removed you")

    def slow(self, bytes_per_second: int | None) -> bool:
        """Limit how fast the connection is sent to, or remove the limit; return False if the server can't."""
        if not isinstance(self._transport, ThrottledProtocol):
            return False
        self._transport.throttle(bytes_per_second)
        self._slow = bytes_per_second
        return True

    def cut(self) -> bool:
        """Abort the connection without a close frame; return False if the server can't."""
        if self._transport is None:
            return False
        self.was_cut = True
        self._transport.abort()
        return True

    def _lag(self, waiting: int, now: float) -> float:
        seen, gone = self._seen, self._outbox.dequeued
        while seen and seen[0][0] <= gone:
            seen.popleft()
        if not waiting:
            return 0.0
        if not seen or seen[-1][0] < gone + waiting:
            seen.append((gone + waiting, now))
        return now - seen[0][1]


class Roster:
    """Every connection of one app, by number; the `ConnectionObserver` of its chat."""

    def __init__(self, progress: Progress, limits: OutboxLimits) -> None:
        """Begin empty; `progress` has what users share."""
        self._limits = limits
        self._progress = progress
        self._numbers = itertools.count(1)
        self._students: dict[Connection, Student] = {}  # in the order in which they joined
        self._ended: deque[Ending] = deque(maxlen=KEPT)

    def on_connect(self, connection: Connection, outbox: Outbox, websocket: WebSocket) -> None:
        """Add a connection under the next number."""
        offer = websocket.scope.get("extensions", {}).get(EXTENSION)
        transport = None if offer is None else offer["connection"]
        self._students[connection] = Student(next(self._numbers), connection, outbox, transport)

    def on_disconnect(self, connection: Connection, ended: Ended) -> None:
        """Remove a connection, and remember how it ended."""
        student = self._students.pop(connection)
        code, reason = ended.code, ended.reason
        if student.was_cut:
            code, reason = CloseCode.ABNORMAL, "cut by the teacher"
        self._ended.append(Ending(user=connection.user, code=code, reason=reason, at=time.time()))

    def student(self, number: int) -> Student | None:
        """Return the connection with this number, or None if it has ended or never existed."""
        return next((student for student in self._students.values() if student.number == number), None)

    def snapshot(self, join: str) -> ClassState:
        """Return the state of the class now; `join` is the address that students open."""
        now = asyncio.get_running_loop().time()
        return ClassState(
            join=join,
            limits=self._limits,
            students=tuple(
                student.snapshot(now, self._progress.of(student.connection.user)) for student in self._students.values()
            ),
            ended=tuple(self._ended),
        )
