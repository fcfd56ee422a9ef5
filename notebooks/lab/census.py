"""Who lives in a server: the handlers and tasks of the lesson that run on its loop."""

from __future__ import annotations

import asyncio
import sysconfig
from collections import Counter
from pathlib import Path
from types import CodeType
from typing import Any

import server as package
from server import BackgroundServer

__all__ = ["Census", "census"]

TURNS = 100  # passes of the loop that everybody gets to end what is ending
DEADLINE = 2.0  # seconds for the server's loop to answer

_LIBRARIES = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(Path(asyncio.__file__).parent)})
_PACKAGE = str(Path(package.__file__).parent)


class Census(Counter[str]):
    """How many of each, by the name of the function; shown as ``2 echo, 1 write``."""

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.items()) if count) or "nobody"

    __repr__ = __str__


def census(server: BackgroundServer) -> Census:
    """Count the handlers and tasks of your own that run on the server's loop now.

    A handler is counted under the name of its function, a task under that of its coroutine.
    What is just ending gets a hundred passes of the loop first, so the count is the same at
    every run. In a stopped server there is nobody.

    Raises:
        TimeoutError: something blocks the server's loop.
    """
    if not server.alive:
        return Census()
    return asyncio.run_coroutine_threadsafe(_count(), server._loop).result(DEADLINE)


async def _count() -> Census:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return Census(name for task in others if (name := _name(task)))


def _name(task: asyncio.Task[Any]) -> str:
    """The first function on the task's way that is not a library's; of ours, the name of the task."""
    ours = False
    awaited: Any = task.get_coro()
    while isinstance(code := getattr(awaited, "cr_code", None), CodeType):
        if code.co_filename.startswith(_PACKAGE):
            ours = True
        elif not code.co_filename.startswith(_LIBRARIES):
            return code.co_name
        awaited = getattr(awaited, "cr_await", None)
    return task.get_name() if ours and not task.get_name().startswith("Task-") else ""
