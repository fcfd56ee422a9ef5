"""One room: its members, and who is present: a snapshot, then changes, without a gap or a duplicate.

A user is present once, whatever the number of tabs, and stays present for a grace time after the
last one was lost, so that a page that reloads causes neither a "left" nor a "joined".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from .broadcasting import Prepared
from .messages import Presence

__all__ = ["Member", "Room", "Schedule", "Timer", "Users"]

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


Users = frozenset[str] | int
"""Who is present at one process: the names, or in a crowd their number."""

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
        on_change: Callable[[Room], None] = lambda room: None,
    ) -> None:
        """Make an empty room.

        Args:
            name: as it stands in the presence messages.
            grace: seconds that a user stays present after the last connection was lost.
            interval: seconds during which changes are collected before members are told; longer in a room
                with many members, so that it sends no more than 2,000 presence messages a second.
            limit: users up to which names are told; above it, their number only.
            schedule: the clock, by default that of the running loop.
            on_empty: called when the last user of this process is no longer present.
            on_change: called when other users than before are present in this process, and have been announced.
        """
        self.name = name
        self._grace = grace
        self._interval = interval
        self._limit = limit
        self._schedule = schedule or (lambda delay, call: asyncio.get_running_loop().call_later(delay, call))
        self._on_empty = on_empty
        self._on_change = on_change
        self._members: dict[Member, None] = {}  # a dict keeps the order in which they came
        self._connections: dict[str, int] = {}  # how many each user has here; 0 during the grace time
        self._leaving: dict[str, Timer] = {}
        self._elsewhere: dict[str, Users] = {}  # who is present at each other process
        self._remote: Counter[str] = Counter()  # at how many other processes each user is, where names are told
        self._changes: list[tuple[str, bool]] = []  # (user, is present) since the last announcement
        # of those who came since: how many of the changes their snapshot has seen, and whether it was a number only
        self._fresh: dict[Member, tuple[int, bool]] = {}
        self._announcement: Timer | None = None
        self._crowded = False  # whether members were told numbers last time
        self._changed_here = False
        self._recounted = False  # another process has told a new number

    @property
    def users(self) -> tuple[str, ...]:
        """Who is present by name, those of this process first, in the order of their coming."""
        return (*self._connections, *(user for user in self._remote if user not in self._connections))

    @property
    def users_here(self) -> Users:
        """Who is present in this process: the names, or in a crowd the number."""
        return frozenset(self._connections) if len(self._connections) <= self._limit else len(self._connections)

    @property
    def count(self) -> int:
        """How many users are present; one who is in several processes of a crowded room counts several times."""
        numbers = sum(users for users in self._elsewhere.values() if isinstance(users, int))
        remote = sum(user not in self._connections for user in self._remote)
        return len(self._connections) + remote + numbers

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
                self._note_here(user, present=True)
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

    def hear(self, process: str, users: Users) -> None:
        """Take in who is present at another process now: the names, or in a crowd the number; none when it has gone."""
        before = self._elsewhere.pop(process, frozenset())
        if users:
            self._elsewhere[process] = users
        old, new = _named(before), _named(users)
        for user in sorted(new - old):
            self._remote[user] += 1
            if self._remote[user] == 1 and user not in self._connections:
                self._note(user, present=True)
        for user in sorted(old - new):
            self._remote[user] -= 1
            if not self._remote[user]:
                del self._remote[user]
                if user not in self._connections:
                    self._note(user, present=False)
        if before != users and (isinstance(before, int) or isinstance(users, int)):
            self._recounted = True
            self._announce_soon()

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
        self._note_here(user, present=False)
        if not self._connections:
            self.close()
            self._on_change(self)
            self._on_empty()

    def _note_here(self, user: str, *, present: bool) -> None:
        self._changed_here = True
        if user not in self._remote:
            self._note(user, present=present)
        self._announce_soon()

    def _note(self, user: str, *, present: bool) -> None:
        self._changes.append((user, present))
        self._announce_soon()

    def _announce_soon(self) -> None:
        if self._announcement is None:
            pause = max(self._interval, len(self._members) / MOST_PER_SECOND)
            self._announcement = self._schedule(pause, self._announce)

    def _announce(self) -> None:
        """Tell each member what has changed since it was told last."""
        changes, fresh, recounted = self._changes, self._fresh, self._recounted
        self._changes, self._fresh, self._announcement, self._recounted = [], {}, None, False
        everybody = (0, self._crowded)
        self._crowded = self._is_crowded
        texts: dict[tuple[int, bool], str | None] = {}
        for member in self._members:
            told = fresh.get(member, everybody)
            if told not in texts:
                texts[told] = self._news(changes, *told) or (self._number() if recounted else None)
            if (text := texts[told]) is not None:
                member.deliver(text)
        if self._changed_here:
            self._changed_here = False
            self._on_change(self)

    @property
    def _is_crowded(self) -> bool:
        return self.count > self._limit or any(isinstance(users, int) for users in self._elsewhere.values())

    def _news(self, changes: list[tuple[str, bool]], seen: int, knew_numbers_only: bool) -> str | None:
        if knew_numbers_only and not self._is_crowded:
            return self._snapshot()
        return self._difference(changes[seen:])

    def _snapshot(self) -> str:
        if self._is_crowded:
            return self._number()
        return Presence(room=self.name, count=self.count, users=self.users).encode()

    def _number(self) -> str:
        return Presence(room=self.name, count=self.count).encode()

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
        if self._is_crowded:
            return self._number()
        return Presence(room=self.name, count=self.count, joined=joined or None, left=left or None).encode()


def _named(users: Users) -> frozenset[str]:
    return users if isinstance(users, frozenset) else frozenset()
