"""One user's inbox in the log: the notifications, the read mark, and how many are unread (lesson 05).

The inbox is one topic of the broker and its read marks are another, so both are as durable as the broker, and every
process sees them. Offsets have no gaps, so counting is a subtraction, which costs the same however much is stored.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated
from pydantic_core import PydanticSerializationError

from .broker import Broker, History, PayloadError, Position, Record
from .broker.feed import log_unreadable
from .errors import ServerError
from .messages import Notification

__all__ = [
    "MOST_NESTED",
    "Inbox",
    "PositionError",
    "ReadState",
    "check_depth",
    "parse_mark",
    "parse_notification",
    "parse_records",
]

MOST_NESTED = 50  # levels of lists and objects; some JSON parsers read 64 levels, and a response adds three
MARKS = 16  # newest read marks that are compared, because several processes may store one at the same time


T = TypeVar("T")


class PositionError(ServerError, ValueError):
    """A position that this inbox never had: made up, or from a log that was lost."""


@validated(frozen=True, config=ConfigDict(allow_inf_nan=False))
class _Content:
    """The stored part of a notification; position and time come from the record."""

    kind: str
    text: str
    id: str
    data: JsonValue = None


_CONTENT = TypeAdapter(_Content)
_MARK = TypeAdapter(Position)


def parse_notification(record: Record) -> Notification:
    """Return the notification in a record of an inbox.

    Raises:
        ValueError: the record doesn't hold one.
    """
    content = _CONTENT.validate_json(record.payload)
    return Notification(
        position=record.position,
        time=record.time,
        kind=content.kind,
        text=content.text,
        data=content.data,
        id=content.id,
    )


def parse_mark(record: Record) -> Position:
    """Return the position in a record of the read marks.

    Raises:
        ValueError: the record doesn't hold one.
    """
    return _MARK.validate_json(record.payload)


def parse_records(records: Iterable[Record], parse: Callable[[Record], T]) -> Iterator[T]:
    """Parse each record; log and leave out those that can't be parsed."""
    for record in records:
        try:
            found = parse(record)
        except ValueError as error:
            log_unreadable(record, error)
        else:
            yield found


def check_depth(data: JsonValue) -> JsonValue:
    """Return the data unchanged, if every JSON parser can read it.

    Raises:
        ValueError: lists and objects are nested more than `MOST_NESTED` deep.
    """
    level: list[Any] = [data]
    for _ in range(MOST_NESTED + 1):
        below: list[Any] = []
        is_leaf = True
        for node in level:
            if isinstance(node, dict | list):
                is_leaf = False
                below.extend(node.values() if isinstance(node, dict) else node)
        if is_leaf:
            return data
        level = below
    raise ValueError(f"data with lists and objects nested at most {MOST_NESTED} deep")


@dataclass(frozen=True, kw_only=True)
class ReadState:
    """How much of an inbox has been read, at one moment."""

    newest: Position
    """The position of the newest notification that is counted."""
    read: Position | None
    """Everything up to here has been read; None if nothing in this epoch has."""
    unread: int
    """The number of stored notifications after `read`, up to `newest`."""

    def after_reading(self, mark: Position) -> ReadState:
        """Return the state after everything up to `mark` has been read; an older mark changes nothing."""
        if mark.epoch != self.newest.epoch or mark.offset <= (self.read.offset if self.read else 0):
            return self
        # a mark from another process can arrive before the notification that it marks
        newest = max(self.newest.offset, mark.offset)
        return ReadState(newest=Position(mark.epoch, newest), read=mark, unread=newest - mark.offset)

    def after_arrival(self, position: Position) -> ReadState:
        """Return the state after a notification has arrived; one that is counted already changes nothing."""
        if position.epoch == self.newest.epoch and position.offset <= self.newest.offset:
            return self
        return replace(self, newest=position, unread=self.unread + 1)


class Inbox:
    """The inbox of one user. All objects of one process for the same user share a lock."""

    def __init__(self, broker: Broker, user: str, lock: asyncio.Lock) -> None:
        self.user = user
        self.topic = f"inbox:{user}"
        self.marks_topic = f"read:{user}"
        self._broker = broker
        self._lock = lock

    async def push(self, *, kind: str, text: str, data: Any = None, key: str | None = None) -> Position:
        """Store a notification and return its position; if `key` was used before, return the first one's position.

        Raises:
            ValueError: kind or text is not a string, or data is not JSON or nested too deep.
            PayloadError: it is too big, or contains half a character or a number that parsers refuse.
            UnavailableError: the broker did not answer; push again with the same key.
        """
        content = _Content(kind=kind, text=text, id=key or secrets.token_hex(8), data=data)
        try:
            check_depth(content.data)
            payload = _CONTENT.dump_json(content).decode()
        except PydanticSerializationError as error:
            raise PayloadError(f"the data can't be written as JSON ({error}); send whole characters") from None
        try:
            _CONTENT.validate_json(payload)  # as every consumer will
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            raise PayloadError(f"the data can't be read back ({detail['msg']}); send simpler data") from None
        return await self._broker.publish(self.topic, payload, key=key)

    async def history(self, after: Position | None = None, *, limit: int) -> History:
        """Return the notifications after a position, or the newest; see `Broker.history`."""
        return await self._broker.history(self.topic, after, limit=limit)

    async def read_state(self) -> ReadState:
        """Return how much has been read; costs the same however much is stored.

        Raises:
            UnavailableError: the broker did not answer.
        """
        marks = list(parse_records((await self._broker.history(self.marks_topic, limit=MARKS)).records, parse_mark))
        read = _latest(marks, marks[-1].epoch) if marks else None
        log = await self._unread(read)
        if read is not None and read.epoch != log.position.epoch:
            read = _latest(marks, log.position.epoch)
            log = await self._unread(read)
        # from the first notification after the mark to the newest there is no gap
        unread = log.position.offset - log.records[0].position.offset + 1 if log.records else 0
        return ReadState(newest=log.position, read=read, unread=unread)

    async def acknowledge(self, position: Position) -> ReadState:
        """Mark everything up to a position as read, and return the new state; the mark never moves back.

        Raises:
            PositionError: the inbox has no such position.
            UnavailableError: the broker did not answer; acknowledge again.
        """
        async with self._lock:  # so that marks of this process are stored in order
            log = await self.history(position, limit=1)
            if position.epoch != log.position.epoch or position.offset > log.position.offset:
                raise PositionError("a position from a message of this inbox")
            if not log.complete:  # what has expired counts as read
                position = _before(log)
            before = await self.read_state()
            after = before.after_reading(position)
            if after is not before:
                await self._broker.publish(self.marks_topic, _MARK.dump_json(position).decode())
            return after

    async def _unread(self, read: Position | None) -> History:
        """Return the first record after a mark; without a mark the oldest, because no log has an empty epoch."""
        return await self.history(read or Position("", 0), limit=1)


def _latest(marks: Sequence[Position], epoch: str) -> Position | None:
    """Return the greatest mark of an epoch; two processes may have stored theirs in either order."""
    return max((mark for mark in marks if mark.epoch == epoch), key=lambda mark: mark.offset, default=None)


def _before(log: History) -> Position:
    """Return the position before the oldest record."""
    if not log.records:
        return log.position
    oldest = log.records[0].position
    return Position(oldest.epoch, oldest.offset - 1)
