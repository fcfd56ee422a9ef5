"""The messages of one room, or of the inbox, without a gap or a duplicate, over any number of connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..broker import Position
from .errors import ClosedError

__all__ = ["LostMessages", "Reader"]

T = TypeVar("T")


@dataclass(frozen=True)
class LostMessages:
    """Some messages are lost for good: the server no longer keeps them, or its log was lost.

    A program that needs the whole must get it elsewhere.
    """

    room: str | None
    """The room; None for the inbox."""

    after: Position | None
    """The position of the last message before the loss."""

    position: Position
    """The next message comes after this position, which often belongs to another epoch."""


class Reader(Generic[T]):
    """An async iterator over a room or the inbox: ``async for message in client.room("lobby")``.

    Each item is a message or, where some were lost for good, a `LostMessages`. Offsets grow by one from message to
    message, whatever happens to connections and servers in between. The loop ends when the client is closed, and
    raises whatever else ended it. Leaving the loop leaves the room; a new loop over the same reader continues after
    its `position`.

    Up to `buffer` items are read ahead of the loop. See `Client` for what happens to the rest.
    """

    def __init__(
        self,
        room: str | None,
        *,
        after: Position | None,
        last: int,
        size: int,
        subscribe: Callable[[Reader[T]], None],
        unsubscribe: Callable[[Reader[T]], None],
        on_taken: Callable[[Reader[T]], None],
    ) -> None:
        self.room = room
        """The room; None for the inbox."""
        self.position = after
        """The position of the last item that the loop got. Store it to resume after a restart of your program."""
        self.last = last
        """How many older items are wanted while there is no position."""
        self._size = size
        self._subscribe, self._unsubscribe, self._on_taken = subscribe, unsubscribe, on_taken
        self._items: deque[tuple[T | LostMessages, Position]] = deque()
        self._changed = asyncio.Event()
        self._closed = True
        self._error: BaseException | None = None
        self._loops = 0  # how many have begun; only the newest gets items

    def __aiter__(self) -> AsyncGenerator[T | LostMessages, None]:
        """Begin or continue. A second loop over one reader ends the first."""
        self._loops += 1
        self._changed.set()
        return self._read(self._loops)

    async def _read(self, loop: int) -> AsyncGenerator[T | LostMessages, None]:
        self._items.clear()
        self._closed, self._error = False, None
        self._subscribe(self)
        try:
            while await self._has_item(loop):
                item, self.position = self._items.popleft()
                self._on_taken(self)
                yield item
        finally:
            if loop == self._loops:
                self._unsubscribe(self)

    async def _has_item(self, loop: int) -> bool:
        """Wait for an item; return False if the loop has to end."""
        while loop == self._loops and not self._items and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        if loop != self._loops:
            raise ClosedError(f"another loop reads {self.room or 'the inbox'!r}; read it in one place")
        if self._error is not None and not self._items:
            raise self._error
        return bool(self._items) and (not self._closed or self._error is not None)

    # called by the session

    @property
    def is_full(self) -> bool:
        """Whether the buffer is full."""
        return len(self._items) >= self._size

    @property
    def is_empty(self) -> bool:
        """Whether the loop has taken everything."""
        return not self._items

    def put(self, item: T | LostMessages, position: Position) -> None:
        """Add the next item, after which the reader is at `position`."""
        self._items.append((item, position))
        self._changed.set()

    def close(self, error: BaseException | None = None) -> None:
        """End the loop: at once, or with an error after the items of the buffer."""
        self._closed, self._error = True, error
        self._changed.set()
