"""One topic of the broker, fanned out to the members that this process holds: first what they missed, then what comes.

The broker keeps the records and tells every process of a new one; a feed hears it once for all of its
members, encodes it once, and remembers the last few, so that a thousand clients that come back together
are answered from memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from .audience import Audience, Receiver
from .broker import Broker, Position, Record, UnavailableError
from .prepared import Prepared

__all__ = ["Feed", "Feeds", "Member", "Opening", "Wording"]

PAGE = 100  # records that are fetched and delivered at once to a member that has missed many
UNKNOWN = Position("", 0)
LAG = 5.0  # seconds that a feed may hear of a record later than a reader of the log


class Member(Receiver, Protocol):
    """A connection as a feed sees it."""

    @property
    def user(self) -> str:
        """Whose connection it is."""

    async def drained(self) -> None:
        """Wait until most of what was delivered has left, or the connection is ending."""


class Wording(Protocol):
    """How the records of a topic are said to clients."""

    def record(self, record: Record) -> Prepared:
        """One record."""

    def reset(self, position: Position) -> Prepared:
        """Records were lost; what comes next comes after `position`."""

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """What is not stored, and the user who need not hear it; None where it is nothing for members."""


Opening = Callable[[Position, bool], Prepared]
"""Says to a member that what comes next comes after this position, and whether nothing before it is gone for good."""


Observe = Callable[[float], None]


class _Kept(NamedTuple):
    record: Record
    message: Prepared


class Feed:
    """The members of one topic. Made by `Feeds`; the `Listener` of the broker."""

    def __init__(self, broker: Broker, topic: str, wording: Wording, *, recent: int = 256) -> None:
        """Make a feed that remembers the last `recent` records; it hears nothing before it is opened."""
        self.topic = topic
        self._broker = broker
        self._wording = wording
        self._members: Audience[Member] = Audience()
        self._news = asyncio.Event()
        self._position = UNKNOWN
        self._recent: deque[_Kept] = deque(maxlen=recent)  # without a gap, up to `_position`
        self.observe: Observe | None = None

    @property
    def position(self) -> Position:
        """Of the last record that was heard."""
        return self._position

    @property
    def members(self) -> tuple[Member, ...]:
        """Who hears what comes, in the order of their coming."""
        return tuple(self._members)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen to the broker for the length of the block.

        Raises:
            UnavailableError: the broker's engine did not answer.
        """
        self._recent.clear()
        self._position = UNKNOWN
        async with self._broker.subscribe(self.topic, self) as position:
            if self._position is UNKNOWN:  # else something has been heard already, and is newer
                self._position = position
            yield

    async def join(self, member: Member, opening: Opening, *, after: Position | None = None, last: int = 0) -> None:
        """Give a member an opening, what it missed `after` a position, or the `last` so many records, and what comes.

        Between the two there is neither a gap nor a duplicate. A member that has missed much is waited for, a
        hundred records at a time. Joining again starts anew.

        Raises:
            UnavailableError: the broker's engine did not answer; the member has not joined.
        """
        self.leave(member)
        rest = await self._catch_up(member, opening, after, last)
        # nothing waits from here on, so no record can come in between
        for kept in rest:
            member.deliver(kept.message)
        self._members.add(member)

    def leave(self, member: Member) -> None:
        """Give a member nothing more; harmless for one that is not there."""
        self._members.discard(member)

    def flush(self) -> None:
        """Deliver at once what has been heard, so that what is sent to a member otherwise comes after it."""
        self._members.flush()

    # what the broker says

    def on_record(self, record: Record) -> None:
        """Deliver a record to every member, when the loop comes round, with what has come by then."""
        message = self._wording.record(record)
        self._position = record.position
        self._recent.append(_Kept(record, message))
        self._members.send(message)
        if self.observe is not None:
            self.observe(max(0.0, time.time() - record.time))
        self._news.set()

    def on_signal(self, payload: str) -> None:
        """Deliver what is not stored to every member that it concerns."""
        said = self._wording.signal(payload)
        if said is None:
            return
        message, but = said
        self._members.flush()
        for member in self._members:
            if member.user != but:
                member.deliver(message)

    def on_reset(self, position: Position) -> None:
        """Tell every member that records were lost."""
        self._recent.clear()
        self._position = position
        self._members.send(self._wording.reset(position))
        self._news.set()

    async def _catch_up(self, member: Member, opening: Opening, after: Position | None, last: int) -> list[_Kept]:
        """Deliver from the log what is not remembered; what is."""
        opened = False
        while (rest := self._remembered(after, last)) is None:
            history = await self._broker.history(self.topic, after, limit=PAGE if after else last)
            complete = history.complete or after is None
            start = _before(history.records) or history.position
            if not opened or not complete:
                word = self._wording.reset(start) if opened else opening(start, complete)
                member.deliver(word)
            elif not history.records:
                await self._hear()  # the log has no more, and this feed has not heard as much yet
            for record in history.records:
                member.deliver(self._wording.record(record))
            after, opened = _end(history.records) or history.position, True
            await member.drained()
        if not opened:
            start = _before([kept.record for kept in rest]) or self._position
            member.deliver(opening(start, True))
        return rest

    async def _hear(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(LAG):
                await self._news.wait()
        except TimeoutError:
            raise UnavailableError(f"{self.topic!r}: the log is ahead of what this process has heard") from None

    def _remembered(self, after: Position | None, last: int) -> list[_Kept] | None:
        """What comes after a position, or the last so many, or None where only the log knows."""
        now = self._position
        if after is None:
            count = min(last, now.offset)
        elif after.epoch == now.epoch and after.offset <= now.offset:
            count = now.offset - after.offset
        else:
            return None
        if count > len(self._recent):
            return None
        rest = list(islice(self._recent, len(self._recent) - count, None))
        fresh = not rest or rest[0].record.time > time.time() - self._broker.limits.seconds
        return rest if fresh else None


def _before(records: Sequence[Record]) -> Position | None:
    return Position(records[0].position.epoch, records[0].position.offset - 1) if records else None


def _end(records: Sequence[Record]) -> Position | None:
    return records[-1].position if records else None


@dataclass(eq=False)
class _Held:
    feed: Feed
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    is_open: bool = False
    joining: int = 0
    was_idle: bool = False

    @property
    def is_idle(self) -> bool:
        return not self.joining and not self.feed.members


class Feeds:
    """The feeds of one process: opened when somebody joins, closed some time after the last has left."""

    def __init__(self, broker: Broker, *, linger: float = 10.0, observe: Observe | None = None) -> None:
        """Make feeds over a broker that is open.

        Args:
            broker: keeps what the feeds deliver.
            linger: seconds that a feed without members is kept, or somewhat more.
            observe: takes the seconds from the storing of each record, by the log's clock, to its delivery here.
        """
        self._broker = broker
        self._observe = observe
        self._linger = linger
        self._feeds: dict[str, _Held] = {}
        self._is_open = False

    def __len__(self) -> int:
        """How many feeds are held."""
        return len(self._feeds)

    @property
    def is_open(self) -> bool:
        """Whether members can join."""
        return self._is_open

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold feeds for the length of the block; afterwards every one is closed."""
        janitor = asyncio.create_task(self._close_idle(), name="feeds-janitor")
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False
            janitor.cancel()
            await asyncio.wait([janitor])
            for held in self._feeds.values():
                await held.stack.aclose()
            self._feeds.clear()

    async def join(
        self,
        topic: str,
        member: Member,
        wording: Wording,
        opening: Opening,
        *,
        after: Position | None = None,
        last: int = 0,
    ) -> Feed:
        """Let a member join the feed of a topic, as `Feed.join` says; the feed, to leave it by.

        Raises:
            UnavailableError: the broker's engine did not answer; the member has not joined.
        """
        held = self._feeds.get(topic)
        if held is None:
            held = self._feeds[topic] = _Held(Feed(self._broker, topic, wording))
            held.feed.observe = self._observe
        held.joining += 1
        try:
            async with held.lock:
                if not held.is_open:
                    await held.stack.enter_async_context(held.feed.open())
                    held.is_open = True
            await held.feed.join(member, opening, after=after, last=last)
        finally:
            held.joining -= 1
        return held.feed

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(self._linger)
            for topic, held in list(self._feeds.items()):
                if held.is_idle and held.was_idle:
                    del self._feeds[topic]
                    await held.stack.aclose()
                held.was_idle = held.is_idle
