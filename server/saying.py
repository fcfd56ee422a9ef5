"""What a client has said and the server has not confirmed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from .broker import Position
from .messages import Say

__all__ = ["Saying", "Sayings"]


class Saying:
    """One message on its way; its idempotency key is its id as well."""

    def __init__(self, say: Say, key: str) -> None:
        self.say = say
        self.key = key
        self.stored: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        """Where it stands in the room's log."""
        self.attempt = 0
        """How many times the server could not store it just then."""

    def confirm(self, position: Position) -> None:
        """It is stored there."""
        if not self.stored.done():
            self.stored.set_result(position)

    def refuse(self, error: BaseException) -> None:
        """It will not be stored."""
        if not self.stored.done():
            self.stored.set_exception(error)


class Sayings:
    """All that is on its way, in the order in which it was said."""

    def __init__(self) -> None:
        self._sayings: dict[str, Saying] = {}

    def __bool__(self) -> bool:
        return bool(self._sayings)

    def __iter__(self) -> Iterator[Saying]:
        return iter(list(self._sayings.values()))

    def get(self, key: object) -> Saying | None:
        """What is said with this key."""
        return self._sayings.get(key) if isinstance(key, str) else None

    def in_room(self, room: str | None) -> list[Saying]:
        """What is said in one room."""
        return [saying for saying in self if saying.say.room == room]

    def add(self, saying: Saying) -> None:
        """Say it from now on, on every connection, until it is removed."""
        self._sayings[saying.key] = saying

    def remove(self, saying: Saying) -> None:
        """Say it no more."""
        self._sayings.pop(saying.key, None)
