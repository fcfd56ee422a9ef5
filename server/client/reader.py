"""What a client reads of one room, or of its inbox, without a gap or a duplicate, over any number of connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..broker import Position
from .refusal import ClosedError

__all__ = ["Missed", "Reader"]

T = TypeVar("T")


@dataclass(frozen=True)
class Missed:
    """Something is lost for good: the server keeps it no longer, or its log was lost. Ask elsewhere for the whole."""

    name: str | None
    """The room; None for the inbox."""

    after: Position | None
    """The last position before the hole, as far as the reader had come."""

    position: Position
    """What comes next comes after this; often of another epoch."""


class Reader(Generic[T]):
    """What comes in one room or in the inbox: ``async for message in client.room("lobby")``.

    Each item is a message or, where some were lost for good, a `Missed`. Positions grow by one from message
    to message, whatever happens to connections and servers in between. The loop ends when the client is
    closed and raises what ended it otherwise. Leaving the loop leaves the room; a new loop over the same
    reader goes on after its `position`.

    So many items as its buffer holds are read ahead of the loop. See `Client` for what becomes of the rest.
    """

    def __init__(
        self,
        name: str | None,
        *,
        after: Position | None,
        last: int,
        size: int,
        start: Callable[[Reader[T]], None],
        leave: Callable[[Reader[T]], None],
        taken: Callable[[Reader[T]], None],
    ) -> None:
        self.name = name
        """The room; None for the inbox."""
        self.position = after
        """Of the item that was given out last; keep it, and come back with it after a restart of your own."""
        self.last = last
        """How many older items are wanted where there is no position yet."""
        self._size = size
        self._start, self._leave, self._taken = start, leave, taken
        self._items: deque[tuple[T | Missed, Position]] = deque()
        self._news = asyncio.Event()
        self._over = True
        self._error: BaseException | None = None
        self._turn = 0

    def __aiter__(self) -> AsyncGenerator[T | Missed, None]:
        """Begin, or go on; of two loops over one reader the later counts."""
        self._turn += 1
        self._news.set()
        return self._read(self._turn)

    async def _read(self, turn: int) -> AsyncGenerator[T | Missed, None]:
        self._items.clear()
        self._over, self._error = False, None
        self._start(self)
        try:
            while await self._has_item(turn):
                item, self.position = self._items.popleft()
                self._taken(self)
                yield item
        finally:
            if turn == self._turn:
                self._leave(self)

    async def _has_item(self, turn: int) -> bool:
        while turn == self._turn and not self._items and not self._over:
            self._news.clear()
            await self._news.wait()
        if turn != self._turn:
            raise ClosedError(f"another loop reads {self.name or 'the inbox'!r}; read it in one place")
        if self._error is not None and not self._items:
            raise self._error
        return bool(self._items) and (not self._over or self._error is not None)

    # for the client

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more item."""
        return len(self._items) >= self._size

    @property
    def is_empty(self) -> bool:
        """Whether the loop has taken everything."""
        return not self._items

    def put(self, item: T | Missed, position: Position) -> None:
        """Add the next item; after it `position` is reached."""
        self._items.append((item, position))
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        """End the loop: at once, or with an error after what was read ahead."""
        self._over, self._error = True, error
        self._news.set()
