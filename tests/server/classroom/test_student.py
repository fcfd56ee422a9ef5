"""How long the oldest message of a connection has waited, found out by looking now and then."""

from __future__ import annotations

from server.broadcasting import Outbox
from server.classroom.student import Student
from server.manager import Connection


class Held(Outbox):
    """An outbox whose peer takes what the test lets it take."""

    def _wake(self) -> None:
        pass

    def take(self, count: int) -> None:
        """Let the oldest go."""
        self._take(count)


def test_the_lag_is_the_age_of_the_oldest_message() -> None:
    """Counted from the look that saw it first; it shrinks as the old ones leave, and nothing waits at the end."""
    outbox = Held()
    student = Student(1, Connection("ana", "", outbox), outbox, None)
    looks = []
    for now, put, taken in [(0.0, 0, 0), (1.0, 2, 0), (2.0, 1, 0), (3.0, 0, 1), (4.0, 0, 1), (5.0, 0, 1), (6.0, 1, 0)]:
        for _ in range(put):
            outbox.put("hello")
        outbox.take(taken)
        looks.append(student.look(now, None).lag)
    assert looks == [0, 0, 1, 2, 2, 0, 0]


def test_a_server_that_can_only_send_neither_slows_nor_cuts() -> None:
    """And says so, instead of doing nothing."""
    student = Student(1, Connection("ana", "", outbox := Held()), outbox, None)
    assert not student.slow(100)
    assert not student.cut()
    assert student.look(0.0, None).slow is None
