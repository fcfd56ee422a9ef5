"""Members of a feed, and a broker that a test can hold back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from server.broadcasting import Batch, Prepared
from server.broker import History, Limits, Listener, Position, Record, UnavailableError
from server.broker.feed import Feed
from server.broker.sqlite.broker import LocalBroker

__all__ = ["DEADLINE", "Numbers", "Reader", "SlowBroker", "open_feed", "publish", "reply"]

DEADLINE = 60.0  # seconds


class Reader:
    """A member that keeps what it gets, such as ``reply 3``, ``4``, ``5``, ``reset 0``."""

    def __init__(self, user: str = "ana") -> None:
        self.user = user
        self.received: list[str] = []
        self.drains = 0
        self.on_drain: Callable[[], Awaitable[None]] | None = None

    def send_nowait(self, message: Prepared) -> None:
        """Take a message."""
        self.received.append(message.text)

    def send_many_nowait(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.send_nowait(message)

    async def drained(self) -> None:
        """Count the waits, and let a test do something in the middle of one."""
        self.drains += 1
        if self.on_drain is not None:
            await self.on_drain()

    @property
    def offsets(self) -> list[int]:
        """The offsets of the records."""
        return [int(text) for text in self.received if text.isdigit()]


class Numbers:
    """Encodes a record as its offset."""

    def record(self, record: Record) -> Prepared:
        """Return the offset."""
        return Prepared(str(record.position.offset))

    def own_record(self, record: Record) -> Prepared:
        """Return the offset, marked as that of a record that was not read."""
        return Prepared(f"own {record.position.offset}")

    def reset(self, position: Position) -> Prepared:
        """Return the offset after which it goes on."""
        return Prepared(f"reset {position.offset}")

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """Return the payload, for everybody but Ana, unless it is for the server."""
        return None if payload == "for the server" else (Prepared(payload), "ana")


def reply(position: Position, complete: bool) -> Prepared:
    """Return the offset after which a member begins, as the reply to its join."""
    return Prepared(f"reply {position.offset}{'' if complete else ' incomplete'}")


class SlowBroker(LocalBroker):
    """A broker whose answers a test can hold back, and which counts the reads of its log."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits=limits)
        self.reads = 0
        self.away = False
        self.unsubscribed = asyncio.Event()
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.after_answer: Callable[[], Awaitable[None]] | None = None

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Answer when the test allows it."""
        self.reads += 1
        if self.away:
            raise UnavailableError("the engine is away")
        if self.before_answer is not None:
            await self.before_answer()
        history = await super().history(topic, after, limit=limit)
        if self.after_answer is not None:
            await self.after_answer()
        return history

    @asynccontextmanager
    async def subscribe(self, topic: str, listener: Listener) -> AsyncIterator[Position]:
        """Refuse while the engine is away."""
        if self.away:
            raise UnavailableError("the engine is away")
        try:
            async with super().subscribe(topic, listener) as position:
                yield position
        finally:
            self.unsubscribed.set()


async def publish(broker: LocalBroker, count: int) -> Position:
    """Publish so many records, and return the position of the last."""
    for _ in range(count):
        position = await broker.publish("topic", "{}")
    await asyncio.sleep(0)  # the feed sends once per pass of the loop
    return position


@asynccontextmanager
async def open_feed(*, before: int = 0, limits: Limits | None = None) -> AsyncIterator[tuple[SlowBroker, Feed]]:
    """Open a feed of a topic that holds `before` records, and its broker."""
    async with asyncio.timeout(DEADLINE), SlowBroker(limits) as broker:
        if before:
            await publish(broker, before)
        feed = Feed(broker, "topic", Numbers(), recent=20)
        async with feed.open():
            yield broker, feed
