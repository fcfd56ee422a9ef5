"""One connection of a student, as the teacher sees it and handles it."""

from __future__ import annotations

from collections import deque

from ..broadcasting import Outbox
from ..frames import FanoutProtocol
from ..manager import Connection
from ..messages import CloseCode
from .messages import Lessons, StudentState

__all__ = ["Student"]


class Student:
    """One connection, from its coming to its end. Every method runs on the loop's thread, and none waits.

    How long the oldest message has waited is found out by looking: each look remembers how many messages there
    have ever been, and so knows later since when it has known the oldest. A delivery costs nothing more for it,
    and a class that nobody watches costs nothing at all.
    """

    __slots__ = ("_link", "_outbox", "_seen", "_slow", "connection", "number", "was_cut")

    def __init__(self, number: int, connection: Connection, outbox: Outbox, link: FanoutProtocol | None) -> None:
        """Take a connection; `link` is None under a server that can only be asked to send."""
        self.number = number
        self.connection = connection
        self.was_cut = False
        self._outbox = outbox
        self._link = link
        self._slow: int | None = None
        self._seen: deque[tuple[int, float]] = deque()  # messages that there had ever been, and when; one waits of each

    def look(self, now: float, progress: Lessons | None) -> StudentState:
        """What there is to see at this time, by any clock that does not jump."""
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
        """Close it with 4002, which tells a client to stay away."""
        self.connection.end(CloseCode.KICKED_FOR_SPAM, "the teacher has sent you out")

    def slow(self, bytes_per_second: int | None) -> bool:
        """Send it no more than so many bytes a second, or as many as it reads; False where the server cannot."""
        if self._link is None:
            return False
        self._link.pace(bytes_per_second)
        self._slow = bytes_per_second
        return True

    def cut(self) -> bool:
        """Take its socket away without a goodbye; False where the server cannot."""
        if self._link is None:
            return False
        self.was_cut = True
        self._link.abort()
        return True

    def _lag(self, waiting: int, now: float) -> float:
        seen, gone = self._seen, self._outbox.passed
        while seen and seen[0][0] <= gone:
            seen.popleft()
        if not waiting:
            return 0.0
        if not seen or seen[-1][0] < gone + waiting:
            seen.append((gone + waiting, now))
        return now - seen[0][1]
