"""Feeds are opened by the first join of a topic, and closed after the last member has left."""

from __future__ import annotations

import asyncio

import pytest

from server.broker import UnavailableError
from server.broker.feeds import Feeds
from tests.server.broker.feed_members import DEADLINE, Numbers, Reader, SlowBroker, publish, reply

pytestmark = pytest.mark.anyio


async def test_feeds_subscribe_once_for_all_members() -> None:
    """However many members join at once, there is one subscription; it ends when all have left."""
    async with asyncio.timeout(DEADLINE), SlowBroker() as broker:
        feeds = Feeds(broker, linger=0.01)
        async with feeds.open(), asyncio.TaskGroup() as group:
            readers = [Reader() for _ in range(10)]
            joins = [group.create_task(feeds.join("topic", one, Numbers(), reply)) for one in readers]
            await asyncio.wait(joins)
            [feed] = {join.result() for join in joins}
            await publish(broker, 1)
            assert all(reader.offsets == [1] for reader in readers)
            for reader in readers:
                feed.leave(reader)
            await broker.unsubscribed.wait()
            await publish(broker, 1)
            assert feed.position.offset == 1


async def test_feed_opens_when_the_engine_is_back() -> None:
    """A feed that couldn't be opened is opened by the next join."""
    async with asyncio.timeout(DEADLINE), SlowBroker() as broker:
        feeds = Feeds(broker)
        reader = Reader()
        async with feeds.open():
            broker.away = True
            with pytest.raises(UnavailableError):
                await feeds.join("topic", reader, Numbers(), reply)
            broker.away = False
            await feeds.join("topic", reader, Numbers(), reply)
            await publish(broker, 1)
        assert reader.received == ["reply 0", "1"]
