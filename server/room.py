"""One room: its members, and who is present: a snapshot, then changes, without a gap or a duplicate.

A user with several tabs is present once, and stays present for a grace time after the last one was lost, so that a
page that reloads causes neither a "left" nor a "joined".
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from .messages import Presence
from .wire.prepared import Prepared
from .wire.sink import Member

__all__ = ["Room", "Schedule", "Timer", "Users"]

MOST_PER_SECOND = 2_000  # presence messages of one room; ten thousand joins a minute must leave room for the chat


class Timer(Protocol):
    """A call that is scheduled, such as an `asyncio.TimerHandle`."""

    def cancel(self) -> None:
        """Cancel the call."""


Users = frozenset[str] | int
"""Who is present in one process: the names, or in a crowd their number."""

Schedule = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds, like `asyncio.loop.call_later`."""


class Room:
    """The members of one room and its presence.

    Every method is synchronous and runs on the loop's thread, so nothing comes between a snapshot and the changes
    after it. `add` and `remove` cost the same whatever the number of members: changes are collected for `interval`
    seconds and announced together, and a room with more than `limit` users announces numbers instead of names.
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
            interval: seconds during which changes are collected before they are announced; longer in a room with many
                members, so that it sends no more than 2,000 presence messages a second.
            limit: users up to which names are announced; above it, only their number.
            schedule: the clock, by default the running loop's.
            on_empty: called when the last user of this process is no longer present.
            on_change: called after a change of the users present in this process was announced.
        """
        self.name = name
        self._grace = grace
        self._interval = interval
        self._limit = limit
        self._schedule = schedule or (lambda delay, call: asyncio.get_running_loop().call_later(delay, call))
        self._on_empty = on_empty
        self._on_change = on_change
        self._members: dict[Member, None] = {}  # a dict keeps the order in which they joined
        self._connections: dict[str, int] = {}  # how many each user has here; 0 during the grace time
        self._leaving: dict[str, Timer] = {}
        self._remote_users: dict[str, Users] = {}  # who is present in each other process
        self._remote_counts: Counter[str] = Counter()  # in how many of them each user is, if its name is known
        self._changes: list[tuple[str, bool]] = []  # (user, is present) since the last announcement
        # for members that joined since then: how many of the changes their snapshot has, and if it was only a number
        self._new_members: dict[Member, tuple[int, bool]] = {}
        self._announcement: Timer | None = None
        self._was_crowded = False  # whether the last announcement was a number
        self._changed_here = False
        self._recounted = False  # another process has reported a new number

    @property
    def users(self) -> tuple[str, ...]:
        """The names of those present, users of this process first, in the order in which they joined."""
        return (*self._connections, *(user for user in self._remote_counts if user not in self._connections))

    @property
    def users_here(self) -> Users:
        """Who is present in this process: the names, or in a crowd the number."""
        return frozenset(self._connections) if len(self._connections) <= self._limit else len(self._connections)

    @property
    def count(self) -> int:
        """The number of users present; in a crowded room, one in several processes counts several times."""
        numbers = sum(users for users in self._remote_users.values() if isinstance(users, int))
        remote = sum(user not in self._connections for user in self._remote_counts)
        return len(self._connections) + remote + numbers

    @property
    def members(self) -> tuple[Member, ...]:
        """The connections that are in the room now."""
        return tuple(self._members)

    def add(self, member: Member) -> None:
        """Add a connection and send it the snapshot; a member that joins again gets a new snapshot."""
        user = member.user
        if member not in self._members:
            self._members[member] = None
            if user not in self._connections:
                self._record_change_here(user, present=True)
            if (timer := self._leaving.pop(user, None)) is not None:
                timer.cancel()
            self._connections[user] = self._connections.get(user, 0) + 1
        self._new_members[member] = (len(self._changes), self._is_crowded)
        member.send_nowait(Prepared(self._snapshot()))

    def remove(self, member: Member, *, at_once: bool = False) -> None:
        """Remove a connection; its user stays present for the grace time, unless `at_once`.

        Do nothing if the connection is not in the room.
        """
        if member not in self._members:
            return
        del self._members[member]
        self._new_members.pop(member, None)
        user = member.user
        self._connections[user] -= 1
        if self._connections[user]:
            return
        if at_once or not self._grace:
            self._remove_user(user)
        else:
            self._leaving[user] = self._schedule(self._grace, lambda: self._remove_user(user))

    def set_remote_users(self, process: str, users: Users) -> None:
        """Replace who is present in another process: the names, or in a crowd the number; none if it is gone."""
        before = self._remote_users.pop(process, frozenset())
        if users:
            self._remote_users[process] = users
        old, new = _names(before), _names(users)
        for user in sorted(new - old):
            self._remote_counts[user] += 1
            if self._remote_counts[user] == 1 and user not in self._connections:
                self._record_change(user, present=True)
        for user in sorted(old - new):
            self._remote_counts[user] -= 1
            if not self._remote_counts[user]:
                del self._remote_counts[user]
                if user not in self._connections:
                    self._record_change(user, present=False)
        if before != users and (isinstance(before, int) or isinstance(users, int)):
            self._recounted = True
            self._announce_soon()

    def send_nowait(self, message: Prepared) -> int:
        """Send a message to every member; return their number."""
        for member in self._members:
            member.send_nowait(message)
        return len(self._members)

    def close(self) -> None:
        """Cancel every timer, because the server stops."""
        for timer in (*self._leaving.values(), *([self._announcement] if self._announcement else [])):
            timer.cancel()
        self._leaving.clear()
        self._announcement = None

    def _remove_user(self, user: str) -> None:
        self._leaving.pop(user, None)
        del self._connections[user]
        self._record_change_here(user, present=False)
        if not self._connections:
            self.close()
            self._on_change(self)
            self._on_empty()

    def _record_change_here(self, user: str, *, present: bool) -> None:
        self._changed_here = True
        if user not in self._remote_counts:
            self._record_change(user, present=present)
        self._announce_soon()

    def _record_change(self, user: str, *, present: bool) -> None:
        self._changes.append((user, present))
        self._announce_soon()

    def _announce_soon(self) -> None:
        if self._announcement is None:
            pause = max(self._interval, len(self._members) / MOST_PER_SECOND)
            self._announcement = self._schedule(pause, self._announce)

    def _announce(self) -> None:
        """Send each member what has changed since the last announcement, or since its snapshot."""
        changes, new_members, recounted = self._changes, self._new_members, self._recounted
        self._changes, self._new_members, self._announcement, self._recounted = [], {}, None, False
        knows_last = (0, self._was_crowded)
        self._was_crowded = self._is_crowded
        texts: dict[tuple[int, bool], Prepared | None] = {}
        for member in self._members:
            knows = new_members.get(member, knows_last)
            if knows not in texts:
                text = self._update(changes, *knows) or (self._number() if recounted else None)
                texts[knows] = Prepared(text) if text is not None else None
            if (prepared := texts[knows]) is not None:
                member.send_nowait(prepared)
        if self._changed_here:
            self._changed_here = False
            self._on_change(self)

    @property
    def _is_crowded(self) -> bool:
        return self.count > self._limit or any(isinstance(users, int) for users in self._remote_users.values())

    def _update(self, changes: list[tuple[str, bool]], seen: int, knows_number_only: bool) -> str | None:
        if knows_number_only and not self._is_crowded:
            return self._snapshot()
        return self._difference(changes[seen:])

    def _snapshot(self) -> str:
        if self._is_crowded:
            return self._number()
        return Presence(room=self.name, count=self.count, users=self.users).encode()

    def _number(self) -> str:
        return Presence(room=self.name, count=self.count).encode()

    def _difference(self, changes: Iterable[tuple[str, bool]]) -> str | None:
        """Return the sum of these changes, or None if they cancel out."""
        first: dict[str, bool] = {}
        last: dict[str, bool] = {}
        for user, present in changes:
            first.setdefault(user, present)
            last[user] = present
        # a user who joined and left again, or left and joined again, has not changed
        joined = tuple(user for user, present in last.items() if present and first[user])
        left = tuple(user for user, present in last.items() if not present and not first[user])
        if not joined and not left:
            return None
        if self._is_crowded:
            return self._number()
        return Presence(room=self.name, count=self.count, joined=joined or None, left=left or None).encode()


def _names(users: Users) -> frozenset[str]:
    return users if isinstance(users, frozenset) else frozenset()
