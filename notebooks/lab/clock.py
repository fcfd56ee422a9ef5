"""A loop whose clock does not run but jumps: an hour passes in no time, and everything keeps its order.

For code that waits (a timer, a timeout, a pause), when the wait itself is of no interest.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["without_waiting"]

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Asked to wait until the next timer, it puts the clock on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout if timeout is None else 0)
        if not ready and timeout:
            self.now += timeout
        return ready


def without_waiting(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a loop of its own, whose `time()` begins at 0 and jumps to whatever is due next.

    What `main` has started and not ended is cancelled. Other threads and real sockets are not waited
    for: the clock jumps past them. Call it from a thread that runs no loop.

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
    """Cancel what is left, and return what has failed in it."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    ended = asyncio.gather(*tasks, return_exceptions=True) if tasks else None
    results = loop.run_until_complete(ended) if ended is not None else []
    return [error for error in results if isinstance(error, Exception)]
