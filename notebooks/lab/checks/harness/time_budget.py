"""How long a check waits for the reader's code: a budget of time, which is full again when something has come.

A short fixed deadline fails a right answer on a busy machine, and a long one keeps the reader waiting for
a wrong answer. So a thread counts the budget in small steps. When the machine is too busy to run
the reader's code in time, it is also too busy to count in time, so the budget lasts longer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

__all__ = ["BUDGET", "remaining", "retry_on_timeout", "time_budget"]

T = TypeVar("T")

BUDGET = 1.0  # seconds in which nothing may come; ending the server of a check may take 0.9 s more
LONGEST = 10.0  # seconds for all waits of one check
STEP = 0.05  # seconds; shorter ones are late when the reader's code keeps the interpreter busy


class _TimeBudget:
    """What is left of the time; a thread counts it down."""

    def __init__(self) -> None:
        self.steps = round(BUDGET / STEP)
        self.finished = threading.Event()
        self.counting = threading.Thread(target=self._count_down, name="verdict", daemon=True)
        self._all_steps = round(LONGEST / STEP)
        self.counting.start()

    def count(self) -> None:
        """Use up one step."""
        self.steps -= 1
        self._all_steps -= 1

    def renew(self) -> None:
        """Fill it up again, as far as the limit for all waits lets it."""
        self.steps = min(round(BUDGET / STEP), self._all_steps)

    def _count_down(self) -> None:
        while not self.finished.wait(STEP):
            if self.steps:
                self.count()


_budget: ContextVar[_TimeBudget] = ContextVar("time_budget")


@contextmanager
def time_budget() -> Iterator[None]:
    """Let all waits in this block use one new budget."""
    budget = _TimeBudget()
    token = _budget.set(budget)
    try:
        yield
    finally:
        _budget.reset(token)
        budget.finished.set()


def remaining() -> float:
    """Return how many seconds of the budget are left; 0 when it is used up."""
    return _budget.get().steps * STEP


def retry_on_timeout(attempt: Callable[[float], T]) -> T:
    """Call ``attempt(seconds)`` with the seconds that are left; repeat it while it times out and time is left.

    When it has succeeded, the budget is full again.

    Raises:
        TimeoutError: the last attempt timed out, and the budget is used up.
    """
    while True:
        try:
            result = attempt(max(remaining(), STEP))
        except TimeoutError:
            if not remaining():
                raise
        else:
            _budget.get().renew()
            return result
