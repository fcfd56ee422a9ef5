"""A feed sends each record to all of its members, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from server.broker import Listener, PayloadError, Position
from server.broker.feed import Feed
from tests.server.broker.feed_members import DEADLINE, Numbers, Reader, SlowBroker, open_feed, publish, reply

pytestmark = pytest.mark.anyio


async def test_new_member_gets_new_records() -> None:
    """Unless it asks, it gets no old records; the reply to its join says where it begins."""
    async with open_feed(before=3) as (broker, feed):
        reader = Reader()
        await feed.join(reader, reply)
        await publish(broker, 2)
        assert reader.received == ["reply 3", "4", "5"]
        assert broker.reads == 0


async def test_own_records_are_not_read_again() -> None:
    """A payload that arrives while it is being published was encoded here; the next equal one was not."""
    async with open_feed() as (broker, feed):
        reader = Reader()
        await feed.join(reader, reply)
        assert await feed.publish("x", key="k") == (feed.position, True)
        await broker.publish("topic", "x")
        assert await feed.publish("x", key="k") == (Position(feed.position.epoch, 1), False)
        with pytest.raises(PayloadError):
            await feed.publish("")
        await asyncio.sleep(0)
        assert reader.received == ["reply 0", "own 1", "2"]


async def test_lost_log_is_reported_to_all() -> None:
    """When the epoch changes, every member gets a reset; a member that comes later is told in the reply to its join."""
    async with open_feed(before=3) as (broker, feed):
        there, later = Reader(), Reader()
        await feed.join(there, reply)
        seen = feed.position
        await broker.drop("topic")
        await publish(broker, 2)
        await feed.join(later, reply, after=seen)
        assert there.received == ["reply 3", "reset 0", "1", "2"]
        assert later.received == ["reply 0 incomplete", "1", "2"]


async def test_member_that_leaves_gets_nothing_more() -> None:
    """Leaving takes effect at once, and leaving twice is harmless."""
    async with open_feed() as (broker, feed):
        reader = Reader()
        await feed.join(reader, reply)
        feed.leave(reader)
        feed.leave(reader)
        await publish(broker, 1)
        assert reader.received == ["reply 0"]
        assert feed.members == ()


async def test_signal_skips_the_excluded_user() -> None:
    """A signal has no position, and the encoder names the user who doesn't get it."""
    async with open_feed() as (broker, feed):
        ana, ben = Reader("ana"), Reader("ben")
        await feed.join(ana, reply)
        await feed.join(ben, reply)
        await broker.signal("topic", "for the server")
        await broker.signal("topic", "ana types")
        assert (ana.received, ben.received) == (["reply 0"], ["reply 0", "ana types"])
        assert feed.position.offset == 0


async def test_record_before_the_subscription_is_confirmed() -> None:
    """A broker may deliver the first record before its block is entered."""

    class Eager(SlowBroker):
        @asynccontextmanager
        async def subscribe(self, topic: str, listener: Listener) -> AsyncIterator[Position]:
            async with super().subscribe(topic, listener) as position:
                await publish(self, 2)
                yield position

    async with asyncio.timeout(DEADLINE), Eager() as broker:
        feed, reader = Feed(broker, "topic", Numbers()), Reader()
        async with feed.open():
            await feed.join(reader, reply, last=5)
            await publish(broker, 1)
        assert reader.received == ["reply 0", "1", "2", "3"]
