"""A store in memory, used on the loop's thread: a statement is faster than a thread that would run it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from .database import failure, open_memory
from .protocol import Limits
from .store import Store

__all__ = ["Direct"]

T = TypeVar("T")


class Direct:
    """Runs calls on a store in memory, at once; what was stored is gone when it is closed."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._store = Store(open_memory(), limits, clock)

    async def open(self) -> None:
        """Nothing to wait for."""

    async def run(self, call: Callable[[Store], T], then: Callable[[T], None]) -> T:
        """Run `call` in a transaction and `then` with its result; without giving way to other tasks.

        Raises:
            UnavailableError: SQLite refused, such as for want of memory.
        """
        try:
            result = self._store.transact(call)
        except sqlite3.Error as error:
            raise failure(error, None) from error
        then(result)
        return result

    async def close(self) -> None:
        """Forget everything."""
        self._store.close()
