"""Delivers every record of every topic that has listeners here: from the channel, or from the log if one is missing."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ..interface import History, Position, Record, UnavailableError
from ..listeners import Subscription, Subscriptions
from .pubsub import PubSubConnection
from .seen import StampedPosition
from .topics import MAX_COMPARED, Topics, parse_entry

__all__ = ["CatchUp", "Cursor"]

PAGE = 200  # records that are read at once to fill a gap
EARLY = 256  # records that are kept while a gap is filled; if there are more, they are read from the log
LONGEST_PAUSE = 1.0  # seconds between two attempts while the engine is away, at most

_log = logging.getLogger(__name__)


class Cursor:
    """Up to where one topic has been delivered to its listeners in this process.

    A record comes from the channel, where some may be missing, or from the log, where none is. A record that was
    delivered already is skipped, and one that isn't the next is not delivered. Each record on the channel names the
    time of the one before it, so a log that lost records and counts on isn't taken for the one that was followed.
    """

    def __init__(self, topic: str, subscriptions: Subscriptions) -> None:
        self.topic = topic
        self.users = 0
        """Blocks that listen or are about to."""
        self.last: StampedPosition | None = None
        """The position of the last record that was delivered; None before the log has been read."""
        self.filling = False
        """Whether a gap is being filled from the log."""
        self.paused = False
        """Whether the connection is new, and the log hasn't been compared yet."""
        self.starting = asyncio.Lock()
        self._subscriptions = subscriptions
        self._early: deque[tuple[Record, int]] = deque(maxlen=EARLY)

    def is_at(self, newest: StampedPosition | None) -> bool:
        """Return whether nothing is missing if that is the newest of the log."""
        if self.last is None:
            return True
        return newest is not None and newest.position == self.last.position and self.last.agrees(newest.micros)

    def receive(self, record: Record, previous: int) -> bool:
        """Deliver a record from the channel, or keep it for later; return False if it isn't the next one."""
        if self.last is None or self.filling or self.paused:
            self._early.append((record, previous))
            return True
        return self._deliver(record, previous)

    def start(self, position: StampedPosition) -> bool:
        """Deliver what comes after a position; return False if some of it is missing already."""
        self.last = position
        return self._deliver_early()

    def fill(self, history: History, newest: StampedPosition) -> bool:
        """Deliver what the log has after the last record; return whether that was all."""
        records = history.records
        if not history.complete:
            self.last = newest
            if records:
                self.last = StampedPosition(newest.epoch, records[0].position.offset - 1, 0)
            self._subscriptions.notify_reset(self.topic, self.last.position)
        for record in records:
            self._deliver(record, 0)
        return self.is_at(newest) or not records

    def resume(self) -> bool:
        """Go on with the channel; return False if some records are missing again."""
        self.filling = self.paused = False
        return self._deliver_early()

    def _deliver_early(self) -> bool:
        early = list(self._early)
        self._early.clear()
        return all(self._deliver(record, previous) for record, previous in early)

    def _deliver(self, record: Record, previous: int) -> bool:
        last, current = self.last, StampedPosition.of(record)
        if last is None or current.epoch != last.epoch or current.offset > last.offset + 1:
            return False
        if current.offset <= last.offset:
            return current.offset < last.offset or last.agrees(current.micros)
        if not last.agrees(previous):
            return False
        self.last = current
        self._subscriptions.notify_record(record)
        return True


class CatchUp:
    """The cursors by their channels. `fill_gaps` and `compare_positions` must run.

    Set `pubsub` before the first subscription; it must call `on_message`, `pause` and `compare_soon`.
    """

    pubsub: PubSubConnection

    def __init__(self, topics: Topics, *, deadline: float, check: float) -> None:
        self._topics = topics
        self._deadline = deadline
        self._check = check
        self._subscriptions = Subscriptions()
        self._cursors: dict[str, Cursor] = {}
        self._behind: dict[Cursor, None] = {}
        self._any_behind = asyncio.Event()
        self._compare_now = asyncio.Event()

    @asynccontextmanager
    async def subscribed(self, subscription: Subscription) -> AsyncIterator[Position]:
        """Deliver to a subscription what comes after the position that the block gets.

        Raises:
            UnavailableError: the engine didn't answer.
        """
        channel = self._topics.channel(subscription.topic)
        cursor = self._cursors.setdefault(channel, Cursor(subscription.topic, self._subscriptions))
        cursor.users += 1
        try:
            position = await self._started(channel, cursor)
            self._subscriptions.add(subscription)
            yield position
        finally:
            self._subscriptions.discard(subscription)
            cursor.users -= 1
            if not cursor.users:
                del self._cursors[channel]
                self.pubsub.unsubscribe(channel)

    async def _started(self, channel: str, cursor: Cursor) -> Position:
        """Return where a cursor is. Its channel is confirmed before the log is read, so that nothing is missed."""
        try:
            async with asyncio.timeout(self._deadline), cursor.starting:
                if cursor.last is None:
                    await self.pubsub.subscribe(channel)
                    _, newest = await self._topics.read(cursor.topic, None, 0)
                    if not cursor.start(newest):
                        self._fill_soon(cursor)
                return (cursor.last or newest).position
        except TimeoutError:
            reason = self.pubsub.reason or "no answer"
            raise UnavailableError(
                f"{cursor.topic!r} could not be subscribed to within {self._deadline:g} s: {reason}"
            ) from None

    # what the channel brings

    def on_message(self, channel: str, text: str) -> None:
        """Deliver what was published on a channel."""
        cursor = self._cursors.get(channel)
        if cursor is None:
            return
        kind, _, rest = text.partition(" ")
        if kind == "signal":
            self._subscriptions.notify_signal(cursor.topic, rest)
        elif kind != "entry" or not self._receive(cursor, rest):
            self._fill_soon(cursor)

    def _receive(self, cursor: Cursor, text: str) -> bool:
        try:
            record, previous = parse_entry(cursor.topic, text)
        except ValueError:  # another program has published here; only the log is to be believed
            return False
        current, seen = StampedPosition.of(record), self._topics.last_seen(cursor.topic)
        if current.position == seen.position and not seen.agrees(current.micros):
            return False  # the engine has lost the record that was seen here, or this one: the log tells which
        received = cursor.receive(record, previous)
        if cursor.last is not None:
            self._topics.remember(cursor.topic, cursor.last)
        return received

    # what it doesn't bring

    def pause(self) -> None:
        """Deliver nothing from the channel until positions have been compared: the connection is new."""
        for cursor in self._cursors.values():
            cursor.paused = True

    def compare_soon(self) -> None:
        """Compare all positions with the log now, on the new connection, instead of at the next regular time."""
        self._compare_now.set()

    async def compare_positions(self) -> None:
        """Compare all positions with the log at once when told to, and every `check` seconds, until cancelled.

        The engine on a new connection may have come back without its last records. So it is first told all that
        this process has seen, also of topics that have no listener here.
        """
        is_new = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._check):
                    await self._compare_now.wait()
            is_new = is_new or self._compare_now.is_set()
            self._compare_now.clear()
            try:
                if is_new:
                    await self._topics.detect_losses()
                await self._compare()
                is_new = False
            except UnavailableError as error:
                _log.info("positions are compared later: %s", error)
                if is_new:  # what the channel brings waits for this
                    await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))
                    self._compare_now.set()

    async def _compare(self) -> None:
        cursors = list(self._cursors.values())
        for start in range(0, len(cursors), MAX_COMPARED):
            some = cursors[start : start + MAX_COMPARED]
            positions = await self._topics.newest([cursor.topic for cursor in some], keep=True)
            for cursor, newest in zip(some, positions, strict=True):
                if not cursor.is_at(newest) or (cursor.paused and not cursor.filling and not cursor.resume()):
                    self._fill_soon(cursor)

    async def fill_gaps(self) -> None:
        """Deliver from the log what listeners miss, one topic after the other, until cancelled."""
        while True:
            await self._any_behind.wait()
            if not self._behind:
                self._any_behind.clear()
                continue
            cursor = next(iter(self._behind))
            # removed before the log is read: whatever adds it again may be newer than what is read
            del self._behind[cursor]
            try:
                await self._fill(cursor)
            except UnavailableError as error:
                self._fill_soon(cursor)
                _log.info("the gap in %r is filled later: %s", cursor.topic, error)
                await asyncio.sleep(random.uniform(0, LONGEST_PAUSE))

    async def _fill(self, cursor: Cursor) -> None:
        cursor.filling = True
        try:
            while cursor.users and cursor.last is not None:
                last = cursor.last
                if self._topics.last_seen(cursor.topic) != last:
                    await self._topics.read(cursor.topic, None, 0)  # tells the engine what else was seen
                history, newest = await self._topics.read(cursor.topic, last.position, PAGE, seen=last)
                if cursor.fill(history, newest):
                    break
        finally:
            if not cursor.resume():
                self._fill_soon(cursor)

    def _fill_soon(self, cursor: Cursor) -> None:
        if cursor.users:
            self._behind[cursor] = None
            self._any_behind.set()
