"""One user's inbox in the log: what is stored, up to where it has been read, and how much is unread (lesson 05).

The inbox is one topic of the broker and its read marks are another, so both are as durable as the broker, every
process sees them, and no question costs more because much is stored: offsets have no gaps, so that to count is
to subtract.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue, TypeAdapter
from pydantic.dataclasses import dataclass as validated
from pydantic_core import PydanticSerializationError

from .broker import Broker, History, PayloadError, Position, Record
from .errors import ServerError
from .messages import Notification

__all__ = ["Inbox", "PositionError", "Standing", "mark_of", "notification_of"]

MARKS = 16  # read marks that are compared: each process stores one of a user's at a time


class PositionError(ServerError, ValueError):
    """A position that this inbox never had: guessed, or of a log that was lost."""


@validated(frozen=True)
class _Content:
    """What is stored of a notification; its position and time are the record's."""

    kind: str
    text: str
    id: str
    data: JsonValue = None


_CONTENT = TypeAdapter(_Content)
_MARK = TypeAdapter(Position)


def notification_of(record: Record) -> Notification:
    """The notification that a record of an inbox holds."""
    content = _CONTENT.validate_json(record.payload)
    return Notification(
        position=record.position,
        time=record.time,
        kind=content.kind,
        text=content.text,
        data=content.data,
        id=content.id,
    )


def mark_of(record: Record) -> Position:
    """The position in the inbox that a record of the read marks holds."""
    return _MARK.validate_json(record.payload)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How much of an inbox is unread, at one moment."""

    newest: Position
    """Of the newest notification that is counted."""
    read: Position | None
    """Everything up to here has been read; None where nothing of this epoch has."""
    unread: int
    """Notifications after `read` that are kept, up to `newest`."""

    def marked(self, mark: Position) -> Standing:
        """The same after everything up to `mark` has been read; a mark never goes back."""
        if mark.epoch != self.newest.epoch or mark.offset <= (self.read.offset if self.read else 0):
            return self
        # another process can tell of a mark before this one has heard of what it marks
        newest = max(self.newest.offset, mark.offset)
        return Standing(newest=Position(mark.epoch, newest), read=mark, unread=newest - mark.offset)

    def grown(self, position: Position) -> Standing:
        """The same after a notification has come; one that was counted before counts no more."""
        if position.epoch == self.newest.epoch and position.offset <= self.newest.offset:
            return self
        return replace(self, newest=position, unread=self.unread + 1)


class Inbox:
    """The inbox of one user. All of a process that stand for the same one share a `turn`."""

    def __init__(self, broker: Broker, user: str, turn: asyncio.Lock) -> None:
        self.user = user
        self.topic = f"inbox:{user}"
        self.marks_topic = f"read:{user}"
        self._broker = broker
        self._turn = turn

    async def push(self, *, kind: str, text: str, data: Any = None, key: str | None = None) -> Position:
        """Store a notification; its position. With a `key` that was used before, that of the first time.

        Raises:
            ValueError: kind or text is no text, or data is nothing that JSON has.
            PayloadError: it is too big, or has half a character.
            UnavailableError: the log did not answer; push again with the same key.
        """
        content = _Content(kind=kind, text=text, id=key or secrets.token_hex(8), data=data)
        try:
            payload = _CONTENT.dump_json(content).decode()
        except PydanticSerializationError as error:
            raise PayloadError(f"the data is nothing that JSON can carry ({error}); send whole characters") from None
        return await self._broker.publish(self.topic, payload, key=key)

    async def history(self, after: Position | None = None, *, limit: int) -> History:
        """The notifications after a position, or the newest; see `Broker.history`."""
        return await self._broker.history(self.topic, after, limit=limit)

    async def standing(self) -> Standing:
        """How much is unread. Costs the same however much is stored.

        Raises:
            UnavailableError: the log did not answer.
        """
        marks = [mark_of(record) for record in (await self._broker.history(self.marks_topic, limit=MARKS)).records]
        read = _latest(marks, marks[-1].epoch) if marks else None
        log = await self._unread(read)
        if read is not None and read.epoch != log.position.epoch:
            read = _latest(marks, log.position.epoch)
            log = await self._unread(read)
        # all that is kept after the mark: from the first of them to the newest there is no gap
        unread = log.position.offset - log.records[0].position.offset + 1 if log.records else 0
        return Standing(newest=log.position, read=read, unread=unread)

    async def acknowledge(self, position: Position) -> Standing:
        """Have read everything up to a position; it never goes back. How much is unread then.

        Raises:
            PositionError: the inbox has no such position.
            UnavailableError: the log did not answer; acknowledge it again.
        """
        async with self._turn:  # so that no two marks of this process pass each other
            log = await self.history(position, limit=1)
            if position.epoch != log.position.epoch or position.offset > log.position.offset:
                raise PositionError("a position of this inbox, as one of its messages had it")
            if not log.complete:  # what is kept no longer is as good as read
                position = _before(log)
            standing = await self.standing()
            after = standing.marked(position)
            if after is not standing:
                await self._broker.publish(self.marks_topic, _MARK.dump_json(position).decode())
            return after

    async def _unread(self, read: Position | None) -> History:
        """The first record after a mark; without one, the oldest: no log has an empty epoch."""
        return await self.history(read or Position("", 0), limit=1)


def _latest(marks: Sequence[Position], epoch: str) -> Position | None:
    """The greatest mark of an epoch: two processes can have stored theirs in either order."""
    return max((mark for mark in marks if mark.epoch == epoch), key=lambda mark: mark.offset, default=None)


def _before(log: History) -> Position:
    """The position before the oldest that is kept."""
    if not log.records:
        return log.position
    oldest = log.records[0].position
    return Position(oldest.epoch, oldest.offset - 1)
