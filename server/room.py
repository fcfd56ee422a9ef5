"""One room: its members, and who is present: a snapshot, then changes, without a gap or a duplicate.

A user is present once, whatever the number of tabs, and stays present for a grace time after the
last one was lost, so that a page that reloads causes neither a "left" nor a "joined".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from .broadcasting import Prepared
from .messages import Presence

__all__ = ["Member", "Room", "Schedule", "Timer"]

MOST_PER_SECOND = 2_000  # presence messages of one room: ten thousand who come in a minute must not drown the talk


class Member(Protocol):
    """A connection as a room sees it."""

    @property
    def user(self) -> str:
        """Whose connection it is."""

    def deliver(self, message: str | Prepared) -> None:
        """Take a ready-made message; never waits and never raises, whatever the peer does."""


class Timer(Protocol):
    """Something scheduled that can still be called off."""

    def cancel(self) -> None:
        """Call it off."""


Schedule = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds, like `asyncio.loop.call_later`."""


class Room:
    """The members of one room and its presence.

    Every method is synchronous and runs on the loop's thread, so that a snapshot and the changes
    after it cannot be torn apart. `add` and `remove` cost the same whatever the number of members:
    changes are collected for `interval` seconds and announced together, and a room with more than
    `limit` users announces numbers instead of names.
    """

    def __init__(
        self,
        name: str,
        *,
        grace: float = 5.0,
        interval: float = 0.1,
        limit: int = 200,
        schedule: Schedule | None = None,
        on_empty: Callable[[], None] = lambda: None,
    ) -> None:
        """Make an empty room.

        Args:
            name: as it stands in the presence messages.
            grace: seconds that a user stays present after the last connection was lost.
            interval: seconds during which changes are collected before members are told; longer in a room
                with many members, so that it sends no more than 2,000 presence messages a second.
            limit: users up to which names are told; above it, their number only.
            schedule: the clock, by default that of the running loop.
            on_empty: called when the last user is no longer present.
        """
        self.name = name
        self._grace = grace
        self._interval = interval
        self._limit = limit
        self._schedule = schedule or (lambda delay, call: asyncio.get_running_loop().call_later(delay, call))
        self._on_empty = on_empty
        self._members: dict[Member, None] = {}  # a dict keeps the order in which they came
        self._connections: dict[str, int] = {}  # how many each user has here; 0 during the grace time
        self._leaving: dict[str, Timer] = {}
        self._changes: list[tuple[str, bool]] = []  # (user, is present) since the last announcement
        # of those who came since: how many of the changes their snapshot has seen, and whether it was a number only
        self._fresh: dict[Member, tuple[int, bool]] = {}
        self._announcement: Timer | None = None
        self._crowded = False  # whether members were told numbers last time

    @property
    def users(self) -> tuple[str, ...]:
        """Who is present, in the order of their coming."""
        return tuple(self._connections)

    @property
    def members(self) -> tuple[Member, ...]:
        """The connections that are in the room now."""
        return tuple(self._members)

    def add(self, member: Member) -> None:
        """Let a connection in and send it the snapshot; a member that comes again gets a new snapshot."""
        user = member.user
        if member not in self._members:
            self._members[member] = None
            if user not in self._connections:
                self._note(user, present=True)
            if (timer := self._leaving.pop(user, None)) is not None:
                timer.cancel()
            self._connections[user] = self._connections.get(user, 0) + 1
        self._fresh[member] = (len(self._changes), self._is_crowded)
        member.deliver(self._snapshot())

    def remove(self, member: Member, *, at_once: bool = False) -> None:
        """Let a connection go; its user stays present for the grace time unless `at_once`.

        Harmless for a connection that is not in the room.
        """
        if member not in self._members:
            return
        del self._members[member]
        self._fresh.pop(member, None)
        user = member.user
        self._connections[user] -= 1
        if self._connections[user]:
            return
        if at_once or not self._grace:
            self._gone(user)
        else:
            self._leaving[user] = self._schedule(self._grace, lambda: self._gone(user))

    def deliver(self, message: str | Prepared) -> int:
        """Hand a message to every member, made ready once; how many there were."""
        prepared = message if isinstance(message, Prepared) else Prepared(message)
        for member in self._members:
            member.deliver(prepared)
        return len(self._members)

    def close(self) -> None:
        """Call off every timer; for a server that stops."""
        for timer in (*self._leaving.values(), *([self._announcement] if self._announcement else [])):
            timer.cancel()
        self._leaving.clear()
        self._announcement = None

    def _gone(self, user: str) -> None:
        self._leaving.pop(user, None)
        del self._connections[user]
        self._note(user, present=False)
        if not self._connections:
            self.close()
            self._on_empty()

    def _note(self, user: str, *, present: bool) -> None:
        self._changes.append((user, present))
        if self._announcement is None:
            pause = max(self._interval, len(self._members) / MOST_PER_SECOND)
            self._announcement = self._schedule(pause, self._announce)

    def _announce(self) -> None:
        """Tell each member what has changed since it was told last."""
        changes, fresh = self._changes, self._fresh
        self._changes, self._fresh, self._announcement = [], {}, None
        everybody = (0, self._crowded)
        self._crowded = self._is_crowded
        texts: dict[tuple[int, bool], str | None] = {}
        for member in self._members:
            told = fresh.get(member, everybody)
            if told not in texts:
                texts[told] = self._news(changes, *told)
            if (text := texts[told]) is not None:
                member.deliver(text)

    @property
    def _is_crowded(self) -> bool:
        return len(self._connections) > self._limit

    def _news(self, changes: list[tuple[str, bool]], seen: int, knew_numbers_only: bool) -> str | None:
        if knew_numbers_only and not self._is_crowded:
            return self._snapshot()
        return self._difference(changes[seen:])

    def _snapshot(self) -> str:
        users = None if self._is_crowded else self.users
        return Presence(room=self.name, count=len(self._connections), users=users).encode()

    def _difference(self, changes: Iterable[tuple[str, bool]]) -> str | None:
        """What these changes amount to, or None where they cancel out."""
        first: dict[str, bool] = {}
        last: dict[str, bool] = {}
        for user, present in changes:
            first.setdefault(user, present)
            last[user] = present
        # whoever came and went again, or went and came again, has not changed
        joined = tuple(user for user, present in last.items() if present and first[user])
        left = tuple(user for user, present in last.items() if not present and not first[user])
        if not joined and not left:
            return None
        count = len(self._connections)
        if self._is_crowded:
            return Presence(room=self.name, count=count).encode()
        return Presence(room=self.name, count=count, joined=joined or None, left=left or None).encode()
