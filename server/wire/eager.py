"""Begin a coroutine of a task at once, while the task itself waits; the task finishes it only if it has to wait.

To wake a task costs more than most sends do, because a send to a peer that keeps up never waits. `asyncio.Task` has
``eager_start`` for new tasks from Python 3.12 on.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # documented for those who run coroutines themselves
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

__all__ = ["Suspended", "begin"]


class Suspended:
    """A coroutine that was begun and has to wait: ``await`` it once, in the task for which it was begun."""

    __slots__ = ("_awaited", "_context", "_coroutine", "_error")

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: object, context: Context) -> None:
        """Take a coroutine, the future that it waits for, and the context in which it was begun."""
        self._coroutine = coroutine
        self._awaited = awaited
        self._context = context
        self._error: BaseException | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        run, coroutine, awaited, error = self._context.run, self._coroutine, self._awaited, self._error
        while True:
            result = None
            try:
                if error is None:
                    result = yield awaited
            except BaseException as caught:  # a cancellation, too, is for the coroutine
                error = caught
            try:
                awaited = run(coroutine.send, result) if error is None else run(coroutine.throw, error)
                error = None
            except StopIteration:
                return

    def cancel(self, error: asyncio.CancelledError) -> None:
        """Let the coroutine get a cancellation that came before anybody awaited it; it still has to be awaited."""
        self._error = error


def begin(coroutine: Coroutine[Any, Any, None], task: asyncio.Task[Any], context: Context) -> Suspended | None:
    """Run a coroutine until it has to wait, as if `task` did so; return None if it is done.

    The coroutine belongs to `task` from the beginning: a deadline or a scope that it enters is that task's. Call this
    from the task itself, or from a callback of its loop. Every step of the coroutine runs in `context`.

    Raises:
        Exception: whatever the coroutine raised before it had to wait.
    """
    loop = task.get_loop()
    is_inside = asyncio.current_task(loop) is task
    if not is_inside:
        _enter_task(loop, task)
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration:
        return None
    finally:
        if not is_inside:
            _leave_task(loop, task)
    return Suspended(coroutine, awaited, context)
