"""How long the oldest message of a connection has waited, found out by looking now and then."""

from __future__ import annotations

from server.app.classroom.roster import Student
from server.broadcasting import Outbox
from server.manager import Connection


class Held(Outbox):
    """An outbox whose peer takes what the test lets it take."""

    def _start_sending(self) -> None:
        pass

    def _close(self, code: int, reason: str) -> None:
        pass

    def take(self, count: int) -> None:
        """Let the oldest go."""
        self._queue.take(count)


def test_the_lag_is_the_age_of_the_oldest_message() -> None:
    """Counted from the look that saw it first; it shrinks as the old ones leave, and nothing waits at the end."""
    outbox = Held()
    student = Student(1, Connection("ana", "", outbox), outbox, None)
    lags = []
    for now, put, taken in [(0.0, 0, 0), (1.0, 2, 0), (2.0, 1, 0), (3.0, 0, 1), (4.0, 0, 1), (5.0, 0, 1), (6.0, 1, 0)]:
        for _ in range(put):
            outbox.send_nowait("hello")
        outbox.take(taken)
        lags.append(student.snapshot(now, None).lag)
    assert lags == [0, 0, 1, 2, 2, 0, 0]


def test_a_connection_without_a_transport_can_be_neither_slowed_nor_cut() -> None:
    """And says so, instead of doing nothing."""
    student = Student(1, Connection("ana", "", outbox := Held()), outbox, None)
    assert not student.slow(100)
    assert not student.cut()
    assert student.snapshot(0.0, None).slow is None
