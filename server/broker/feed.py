"""One topic of the broker, sent to the members that this process has: first what they missed, then what comes.

The broker keeps the records and delivers each new one to every process. A feed receives it once for all of its
members, encodes it once, and remembers the newest few, so that a thousand clients that come back together are answered
from memory.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import NamedTuple, Protocol

from ..wire.audience import Audience
from ..wire.prepared import Batch, Prepared
from ..wire.sink import Member
from . import Broker, Position, Record, UnavailableError

__all__ = ["Encoder", "Feed", "JoinReply", "ObserveDelay", "log_unreadable"]

_log = logging.getLogger(__name__)

PAGE = 100  # records that are sent at once to a member that has missed many
PAGE_BYTES = 1 << 18  # of these, too; it is less than an outbox holds, so that there is room for what comes meanwhile
UNKNOWN = Position("", 0)
MAX_DELAY = 5.0  # seconds to wait for a record that the log has and this feed hasn't received yet


class Encoder(Protocol):
    """Turns what the broker delivers of one topic into messages for the members of its feed."""

    def record(self, record: Record) -> Prepared:
        """Return the message for a record.

        Raises:
            ValueError: this version can't have stored such a record.
        """

    def own_record(self, record: Record) -> Prepared:
        """Return the message for a record whose payload came through `Feed.publish` just now: it needs no check."""

    def reset(self, position: Position) -> Prepared:
        """Return a message that says that records were lost, and that the next one comes after `position`."""

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """Return the message for a signal and the user who doesn't get it; None if it isn't meant for members.

        Raises:
            ValueError: this version doesn't send such a signal.
        """


JoinReply = Callable[[Position, bool], Prepared]
"""Makes the first message to a member that joins: after which position the records come, and whether none was lost."""

ObserveDelay = Callable[[float], None]
"""Takes the seconds from the moment a record was stored to its delivery, such as `Histogram.observe`."""


def log_unreadable(record: Record, error: ValueError) -> None:
    """Log that a record can't be read, such as one of another version; its contents are private and stay out."""
    reason = type(error).__name__
    _log.warning("%r: record %d cannot be read and is skipped (%s)", record.topic, record.position.offset, reason)


class _Encoded(NamedTuple):
    record: Record
    message: Prepared


class Feed:
    """The members of one topic. Made by `Feeds`; a `Listener` of the broker."""

    def __init__(self, broker: Broker, topic: str, encoder: Encoder, *, recent: int = 256) -> None:
        """Make a feed that remembers the newest `recent` records; it receives nothing before it is opened."""
        self.topic = topic
        self._broker = broker
        self._encoder = encoder
        self._members: Audience[Member] = Audience()
        self._changed = asyncio.Event()
        self._position = UNKNOWN
        self._published: set[str] = set()  # payloads that this process is publishing
        self._recent: deque[_Encoded] = deque(maxlen=recent)  # without a gap, up to `_position`
        self.observe: ObserveDelay | None = None

    @property
    def position(self) -> Position:
        """Return the position of the newest record that was received."""
        return self._position

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the members, in the order in which they joined."""
        return tuple(self._members)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen to the broker for the length of the block.

        Raises:
            UnavailableError: the broker's engine didn't answer.
        """
        self._recent.clear()
        self._position = UNKNOWN
        async with self._broker.subscribe(self.topic, self) as position:
            if self._position is UNKNOWN:  # else a record has arrived already, and is newer
                self._position = position
            yield

    async def join(self, member: Member, reply: JoinReply, *, after: Position | None = None, last: int = 0) -> None:
        """Send a member the reply to its join, then the records `after` a position or the `last` few, then what comes.

        There is neither a gap nor a duplicate between them. A member that has missed much gets a hundred records at a
        time, the next hundred when it has taken these. A member that joins again starts anew.

        Raises:
            UnavailableError: the broker's engine didn't answer; the member hasn't joined.
        """
        self.leave(member)
        rest = await self._catch_up(member, reply, after, last)
        # nothing awaits from here on, so no record can arrive in between
        _send(member, rest)
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """Send a member nothing more; do nothing if it hasn't joined."""
        self._members.discard(member)

    async def publish(self, payload: str, *, key: str | None = None) -> tuple[Position, bool]:
        """Publish a payload that this feed's encoder can read; return its position, and whether it is new.

        It isn't new if its key was used before. When the record arrives here, its payload isn't checked again.

        Raises:
            PayloadError: the key or the payload is empty or too long.
            UnavailableError: the broker's engine didn't answer.
        """
        before = self._position
        self._published.add(payload)
        try:
            position = await self._broker.publish(self.topic, payload, key=key)
        finally:
            self._published.discard(payload)
        return position, position.epoch != before.epoch or position.offset > before.offset

    def flush(self) -> None:
        """Send at once what was received, so that whatever a member is sent next comes after it."""
        self._members.flush()

    # what the broker calls

    def on_record(self, record: Record) -> None:
        """Send a record to every member, together with whatever else arrives in this pass of the loop."""
        is_own = record.payload in self._published
        message = self._encoder.own_record(record) if is_own else self._encode(record)
        self._position = record.position
        self._recent.append(_Encoded(record, message))
        self._members.send(message)
        if self.observe is not None:
            self.observe(max(0.0, time.time() - record.time))
        self._changed.set()

    def on_signal(self, payload: str) -> None:
        """Send a signal to every member that it is meant for."""
        try:
            encoded = self._encoder.signal(payload)
        except ValueError as error:
            _log.warning("%r: a signal cannot be read and is skipped (%s)", self.topic, type(error).__name__)
            return
        if encoded is None:
            return
        message, excluded = encoded
        self._members.flush()
        for member in self._members:
            if member.user != excluded:
                member.send_nowait(message)

    def on_reset(self, position: Position) -> None:
        """Tell every member that records were lost."""
        self._recent.clear()
        self._position = position
        self._members.send(self._encoder.reset(position))
        self._changed.set()

    def _encode(self, record: Record) -> Prepared:
        """Return the message for a record; if it can't be read, one that says that there is a gap."""
        try:
            return self._encoder.record(record)
        except ValueError as error:
            log_unreadable(record, error)
            return self._encoder.reset(record.position)

    async def _catch_up(
        self, member: Member, reply: JoinReply, after: Position | None, last: int
    ) -> Sequence[Prepared]:
        """Send a member what only the log has; return the messages that follow, which this feed remembers."""
        replied = False
        await member.drained()  # other topics may have sent it as much as its outbox holds
        while True:
            recent = self._recent_after(after, last)
            if recent is not None:
                page = recent[: _count_at_once([entry.message for entry in recent])]
                if len(page) == len(recent):
                    break
                records: Sequence[Record] = [entry.record for entry in page]
                messages = [entry.message for entry in page]
                complete, position = True, self._position
            else:
                history = await self._broker.history(self.topic, after, limit=PAGE if after else last)
                records, position = history.records, history.position
                messages = [self._encode(record) for record in records]
                complete = history.complete or after is None
            start = _before(records) or position
            if not replied:
                messages.insert(0, reply(start, complete))
            elif not complete:
                messages.insert(0, self._encoder.reset(start))
            elif not messages:
                await self._wait_for_record()  # the log has no more, and this feed hasn't received all of it yet
            while messages:
                count = _count_at_once(messages)
                _send(member, messages[:count])
                del messages[:count]
                await member.drained()
            after, replied = records[-1].position if records else position, True
        messages = [entry.message for entry in recent]
        if not replied:
            messages.insert(0, reply(_before([entry.record for entry in recent]) or self._position, True))
        return messages

    async def _wait_for_record(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(MAX_DELAY):
                await self._changed.wait()
        except TimeoutError:
            raise UnavailableError(f"{self.topic!r}: the log is ahead of what this process has received") from None

    def _recent_after(self, after: Position | None, last: int) -> list[_Encoded] | None:
        """Return what comes after a position, or the `last` few; None if only the log knows."""
        now = self._position
        if after is None:
            count = min(last, now.offset)
        elif after.epoch == now.epoch and after.offset <= now.offset:
            count = now.offset - after.offset
        else:
            return None
        if count > len(self._recent):
            return None
        recent = list(islice(self._recent, len(self._recent) - count, None))
        oldest = time.time() - self._broker.limits.seconds
        # a clock that was set can make one of the middle look too old: then the log decides
        return recent if all(entry.record.time > oldest for entry in recent) else None


def _send(member: Member, messages: Sequence[Prepared]) -> None:
    if messages:
        member.send_many_nowait(Batch(tuple(messages)))


def _count_at_once(messages: Sequence[Prepared]) -> int:
    """Return how many of these messages are sent to a member before it is waited for; one can be the reply."""
    size = 0
    for count, message in enumerate(messages[: PAGE + 1]):
        size += message.size
        if count and size > PAGE_BYTES:
            return count
    return min(PAGE + 1, len(messages))


def _before(records: Sequence[Record]) -> Position | None:
    """Return the position before the first of some records, or None if there are none."""
    return Position(records[0].position.epoch, records[0].position.offset - 1) if records else None
