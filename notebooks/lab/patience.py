"""How long a check waits for the reader's code: one budget for all its waits.

A fixed deadline would fail a right answer on a busy machine, and a long one would keep the reader
waiting for a wrong one. So the budget is counted in small steps: a machine that is too busy to
count in time was too busy to run the reader's code in time, and its lateness does not count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

__all__ = ["BUDGET", "limited", "patiently", "remaining"]

T = TypeVar("T")

BUDGET = 1.0  # seconds that all waits of one check share; ending its server may take 0.9 s more
STEP = 0.05  # seconds; shorter ones are late when the reader's code keeps the interpreter busy


class _Patience:
    """What is left of a budget; a thread counts it down."""

    def __init__(self) -> None:
        self.steps = round(BUDGET / STEP)
        self.over = threading.Event()
        threading.Thread(target=self._count, name="verdict", daemon=True).start()

    def _count(self) -> None:
        while self.steps and not self.over.wait(STEP):
            self.steps -= 1


_patience: ContextVar[_Patience] = ContextVar("patience")


@contextmanager
def limited() -> Iterator[None]:
    """Let all waits in this block share one new budget."""
    patience = _Patience()
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)
        patience.over.set()


def remaining() -> float:
    """Seconds of the budget that are left; 0 when it is used up."""
    return _patience.get().steps * STEP


def patiently(attempt: Callable[[float], T]) -> T:
    """Call `attempt` with the seconds that are left, and again as long as it times out and some are left.

    Raises:
        TimeoutError: of the last attempt.
    """
    while True:
        try:
            return attempt(max(remaining(), STEP))
        except TimeoutError:
            if not remaining():
                raise
