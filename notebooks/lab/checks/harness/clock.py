"""Run code that waits without waiting: the clock of its loop jumps to the next timer.

An hour passes in no time, and everything happens in the same order as on a real clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["without_waiting"]

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Move the clock forward instead of waiting for the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


def without_waiting(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own, whose `time()` starts at 0 and jumps to the next timer.

    Tasks that `main` leaves behind are cancelled. It does not wait for other threads and real sockets;
    the clock jumps past them. Call it from a thread that runs no loop.

    Raises:
        BaseException: what `main`, one of its timers or one of its tasks raised.
    """
    selector = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    failures: list[BaseException] = []
    loop.set_exception_handler(lambda _, context: failures.append(_failure(context)))
    try:
        result = loop.run_until_complete(main)
        failures += _end_tasks(loop)
    finally:
        loop.close()
    if failures:
        raise failures[0]
    return result


def _failure(context: dict[str, Any]) -> BaseException:
    error = context.get("exception")
    return error if isinstance(error, BaseException) else RuntimeError(context["message"])


def _end_tasks(loop: asyncio.AbstractEventLoop) -> list[BaseException]:
    """Cancel the tasks that are left, and return the errors that they raise."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    ended = asyncio.gather(*tasks, return_exceptions=True) if tasks else None
    results = loop.run_until_complete(ended) if ended is not None else []
    return [error for error in results if isinstance(error, Exception)]
