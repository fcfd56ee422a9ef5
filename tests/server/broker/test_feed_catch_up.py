"""A member that joins gets what it missed, then what comes, with neither a gap nor a duplicate in between."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from server.broadcasting import Prepared
from server.broker import Limits, Position, Record
from server.broker.feed import PAGE, PAGE_BYTES, Feed
from tests.server.broker.feed_members import DEADLINE, Numbers, Reader, SlowBroker, open_feed, publish, reply

pytestmark = pytest.mark.anyio


async def test_last_few_records_are_sent_first() -> None:
    """A new member that asks for the last two gets them, from the feed or from the log."""
    async with open_feed(before=5) as (broker, feed):
        first, second = Reader(), Reader()
        await feed.join(first, reply, last=2)
        await publish(broker, 2)
        await feed.join(second, reply, last=2)
        await publish(broker, 1)
        assert first.received == ["reply 3", "4", "5", "6", "7", "8"]
        assert second.received == ["reply 5", "6", "7", "8"]
        assert broker.reads == 1


async def test_asking_for_more_than_there_is() -> None:
    """Every record of a short topic is sent."""
    async with open_feed(before=3) as (_, feed):
        reader = Reader()
        await feed.join(reader, reply, last=50)
        assert reader.received == ["reply 0", "1", "2", "3"]


async def test_member_that_comes_back_gets_what_it_missed() -> None:
    """From memory, without reading the log."""
    async with open_feed() as (broker, feed):
        reader = Reader()
        seen = await publish(broker, 3)
        await publish(broker, 4)
        await feed.join(reader, reply, after=seen)
        await publish(broker, 1)
        assert reader.received == ["reply 3", "4", "5", "6", "7", "8"]
        assert broker.reads == 0


async def test_thousand_members_come_back_without_the_log() -> None:
    """The feed has encoded what it remembers once, for all of them."""
    async with open_feed() as (broker, feed):
        seen = feed.position
        await publish(broker, 20)
        readers = [Reader() for _ in range(1_000)]
        for reader in readers:
            await feed.join(reader, reply, after=seen)
        assert {tuple(reader.offsets) for reader in readers} == {tuple(range(1, 21))}
        assert broker.reads == 0


async def test_member_that_missed_much_gets_pages() -> None:
    """What the feed doesn't remember comes from the log, a page at a time, with a wait after each."""
    async with open_feed(before=3 * PAGE) as (broker, feed):
        reader = Reader()
        await feed.join(reader, reply, after=Position(feed.position.epoch, 0))
        await publish(broker, 1)
        assert reader.offsets == list(range(1, 3 * PAGE + 2))
        assert reader.drains == 1 + broker.reads == 4  # once before: other topics may have filled its outbox


async def test_records_during_a_page_are_sent_once() -> None:
    """A record that is published before or after the log answers is neither lost nor doubled."""
    async with open_feed(before=150) as (broker, feed):
        reader = Reader()

        async def meanwhile() -> None:
            await publish(broker, 1)

        broker.before_answer = broker.after_answer = reader.on_drain = meanwhile
        await feed.join(reader, reply, after=Position(feed.position.epoch, 5))
        broker.before_answer = broker.after_answer = None
        await publish(broker, 5)
        assert reader.received[0] == "reply 5"
        assert reader.offsets == list(range(6, feed.position.offset + 1))


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_leaves_no_gap_and_no_duplicate(seed: int) -> None:
    """Readers join, leave, and come back with their position while others publish."""
    async with open_feed(before=30) as (broker, feed):
        chance = random.Random(seed)

        async def give_way() -> None:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

        broker.before_answer = broker.after_answer = give_way

        async def speak() -> None:
            for _ in range(100):
                await publish(broker, chance.randrange(1, 5))
                await give_way()

        async def listen() -> list[int]:
            received: list[int] = []
            start = feed.position
            for _ in range(10):
                reader = Reader()
                reader.on_drain = give_way
                seen = Position(start.epoch, received[-1]) if received else start
                await feed.join(reader, reply, after=seen)
                for _ in range(chance.randrange(30)):
                    await asyncio.sleep(0)
                feed.leave(reader)
                received += reader.offsets
            assert received == list(range(start.offset + 1, start.offset + 1 + len(received)))
            return received

        async with asyncio.TaskGroup() as group:
            group.create_task(speak())
            listeners = [group.create_task(listen()) for _ in range(5)]
        assert any(listener.result() for listener in listeners)


async def test_member_that_missed_too_much_is_told() -> None:
    """If the log no longer has what it missed, the reply to its join says so."""
    async with open_feed(before=30, limits=Limits(records=10)) as (_, feed):
        old, foreign = Reader(), Reader()
        await feed.join(old, reply, after=Position(feed.position.epoch, 2))
        await feed.join(foreign, reply, after=Position("another", 7))
        assert old.received == ["reply 20 incomplete", *map(str, range(21, 31))]
        assert foreign.received == ["reply 20 incomplete", *map(str, range(21, 31))]


async def test_log_lost_during_a_join_is_reported() -> None:
    """A reader in the middle of its pages gets a reset and goes on in the new epoch."""
    async with open_feed(before=2 * PAGE) as (broker, feed):
        reader = Reader()

        async def lose() -> None:
            if not reader.received:
                return
            reader.on_drain = None
            await broker.drop("topic")
            await publish(broker, 2)

        reader.on_drain = lose
        await feed.join(reader, reply, after=Position(feed.position.epoch, 0))
        await publish(broker, 1)
        assert reader.received == ["reply 0", *map(str, range(1, PAGE + 1)), "reset 0", "1", "2", "3"]


class Long(Numbers):
    """Encodes a record as its offset, and spaces up to a size."""

    def __init__(self, size: int) -> None:
        self.size = size

    def record(self, record: Record) -> Prepared:
        """Return the offset."""
        return Prepared(str(record.position.offset).ljust(self.size))


@pytest.mark.parametrize(
    ("size", "count", "most"), [(3, 250, PAGE + 1), (PAGE_BYTES // 5, 12, 6), (PAGE_BYTES * 2, 3, 2)]
)
async def test_what_is_remembered_is_sent_in_pages(size: int, count: int, most: int) -> None:
    """So that an outbox has room for other messages beside them; what arrives in between follows, once."""
    async with asyncio.timeout(DEADLINE), SlowBroker() as broker:
        feed = Feed(broker, "topic", Long(size), recent=300)
        async with feed.open():
            first = await publish(broker, 1)
            await publish(broker, count)
            reader, seen = Reader(), list[int]()

            async def note() -> None:
                seen.append(len(reader.received))
                if reader.drains == 2:
                    await publish(broker, 1)

            reader.on_drain = note
            await feed.join(reader, reply, after=first)
            reader.on_drain = None
            seen.append(len(reader.received))
            await publish(broker, 1)
            assert reader.received[0] == "reply 1"
            offsets = [int(text) for text in reader.received[1:]]
            assert offsets == list(range(2, 2 + count + 2))
            assert broker.reads == 0
            assert max(after - before for before, after in pairwise(seen)) <= most


@pytest.mark.parametrize("late", [1, 2])
async def test_join_waits_for_a_feed_behind_the_log(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that the log has, and the feed has not received yet, is sent once."""
    async with open_feed(before=3) as (broker, feed):
        reader = Reader()
        received, held, read_again = feed.on_record, list[Record](), asyncio.Event()
        monkeypatch.setattr(feed, "on_record", held.append)  # as when a message is still on its way
        await publish(broker, late)

        async def answered() -> None:
            if broker.reads == 2:
                read_again.set()

        broker.after_answer = answered
        joining = asyncio.create_task(feed.join(reader, reply, after=Position(feed.position.epoch, 1)))
        await read_again.wait()
        for record in held:
            received(record)
        await joining
        await asyncio.sleep(0)
        await broker.publish("topic", "{}")
        received(held[-1])
        await asyncio.sleep(0)
        assert reader.offsets == list(range(2, 5 + late))
