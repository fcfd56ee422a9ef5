"""Count the handlers and tasks of the lesson that run on a server's loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from server import BackgroundServer

from .origin import libraries, package_of

__all__ = ["Census", "census"]

TURNS = 100  # passes of the loop that everybody gets to end what is ending
DEADLINE = 2.0  # seconds for the server's loop to answer


class Census(Counter[str]):
    """How many handlers and tasks run, by the name of their function; shown as ``2 echo, 1 write``."""

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.items()) if count) or "nobody"

    __repr__ = __str__


def census(server: BackgroundServer) -> Census:
    """Count your own handlers and tasks that run on the server's loop now: ``census(server)``.

    A handler is counted under the name of its function, a task under the name of its coroutine. Tasks that
    are just ending get 100 passes of the loop to finish, so the count is the same in every run. A stopped
    server has none.

    Returns:
        A dict from name to number; a notebook shows it as ``2 echo, 1 write``.

    Raises:
        TimeoutError: something blocks the server's loop for 2 s.
    """
    if not server.alive:
        return Census()
    return asyncio.run_coroutine_threadsafe(_count(libraries()), server._loop).result(DEADLINE)


async def _count(libraries: frozenset[str]) -> Census:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return Census(name for task in others if (name := _name(task, libraries)))


def _name(task: asyncio.Task[Any], libraries: frozenset[str]) -> str:
    """Return the first function that the task awaits and no library defines; for our own code, the task's name."""
    ours = False
    awaited: Any = task.get_coro()
    while (package := package_of(awaited)) is not None:
        if package == "server":
            ours = True
        elif package not in libraries:
            return str(awaited.__name__)
        awaited = getattr(awaited, "cr_await", None)
    return task.get_name() if ours and not task.get_name().startswith("Task-") else ""
