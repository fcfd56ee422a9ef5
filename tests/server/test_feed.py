"""A feed: what was missed, then what comes, and neither a gap nor a duplicate in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from server.broadcasting import Batch, Prepared
from server.broker import History, Limits, Listener, Position, Record, UnavailableError
from server.broker.local import LocalBroker
from server.feed import PAGE, Feed, Feeds

DEADLINE = 10  # seconds


class Reader:
    """A member that keeps what it is given, as ``opening 3``, ``4``, ``5``, ``reset 0``."""

    def __init__(self, user: str = "ana") -> None:
        self.user = user
        self.heard: list[str] = []
        self.drains = 0
        self.on_drain: Callable[[], Awaitable[None]] | None = None

    def deliver(self, message: Prepared) -> None:
        """Take a message."""
        self.heard.append(message.text)

    def deliver_all(self, batch: Batch) -> None:
        """Take messages."""
        for message in batch.messages:
            self.deliver(message)

    async def drained(self) -> None:
        """Count the waits, and let a test do something in the middle of one."""
        self.drains += 1
        if self.on_drain is not None:
            await self.on_drain()

    @property
    def offsets(self) -> list[int]:
        """Of the records."""
        return [int(text) for text in self.heard if text.isdigit()]


class Numbers:
    """Says a record by its offset."""

    def record(self, record: Record) -> Prepared:
        """The offset."""
        return Prepared(str(record.position.offset))

    def reset(self, position: Position) -> Prepared:
        """The offset after which it goes on."""
        return Prepared(f"reset {position.offset}")

    def signal(self, payload: str) -> tuple[Prepared, str] | None:
        """The payload, for everybody but Ana, unless it is for the server."""
        return None if payload == "for the server" else (Prepared(payload), "ana")


def opening(position: Position, complete: bool) -> Prepared:
    """Say where a member begins."""
    return Prepared(f"opening {position.offset}{'' if complete else ' incomplete'}")


class Slow(LocalBroker):
    """A broker whose answers a test holds back, and which counts the questions."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits=limits)
        self.asked = 0
        self.away = False
        self.deserted = asyncio.Event()
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self.after_answer: Callable[[], Awaitable[None]] | None = None

    async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
        """Answer when the test lets it."""
        self.asked += 1
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
            self.deserted.set()


async def publish(broker: LocalBroker, count: int) -> Position:
    """Publish so many records, and return the position of the last."""
    for _ in range(count):
        position = await broker.publish("topic", "{}")
    await asyncio.sleep(0)  # the loop comes round
    return position


def run(test: Callable[[Slow, Feed], Awaitable[None]], *, before: int = 0, limits: Limits | None = None) -> None:
    """Run a test over an open feed of a topic that holds `before` records."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), Slow(limits) as broker:
            if before:
                await publish(broker, before)
            feed = Feed(broker, "topic", Numbers(), recent=20)
            async with feed.open():
                await test(broker, feed)

    asyncio.run(main())


def test_a_newcomer_hears_what_comes() -> None:
    """Without a wish it gets nothing old, and its opening says where it begins."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        await feed.join(reader, opening)
        await publish(broker, 2)
        assert reader.heard == ["opening 3", "4", "5"]
        assert broker.asked == 0

    run(test, before=3)


def test_the_last_few_are_sent_first() -> None:
    """A newcomer that wants the last two gets them, whether the feed has heard them or only the log knows."""

    async def test(broker: Slow, feed: Feed) -> None:
        first, second = Reader(), Reader()
        await feed.join(first, opening, last=2)
        await publish(broker, 2)
        await feed.join(second, opening, last=2)
        await publish(broker, 1)
        assert first.heard == ["opening 3", "4", "5", "6", "7", "8"]
        assert second.heard == ["opening 5", "6", "7", "8"]
        assert broker.asked == 1

    run(test, before=5)


def test_more_than_there_is_is_all_of_it() -> None:
    """Of a short topic everything is sent."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        await feed.join(reader, opening, last=50)
        assert reader.heard == ["opening 0", "1", "2", "3"]

    run(test, before=3)


def test_who_comes_back_gets_what_was_missed() -> None:
    """From memory, and without a question to the log."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        seen = await publish(broker, 3)
        await publish(broker, 4)
        await feed.join(reader, opening, after=seen)
        await publish(broker, 1)
        assert reader.heard == ["opening 3", "4", "5", "6", "7", "8"]
        assert broker.asked == 0

    run(test)


def test_a_thousand_who_come_back_ask_the_log_nothing() -> None:
    """What the feed remembers was made ready once, for all of them."""

    async def test(broker: Slow, feed: Feed) -> None:
        seen = feed.position
        await publish(broker, 20)
        readers = [Reader() for _ in range(1_000)]
        for reader in readers:
            await feed.join(reader, opening, after=seen)
        assert {tuple(reader.offsets) for reader in readers} == {tuple(range(1, 21))}
        assert broker.asked == 0

    run(test)


def test_who_was_away_for_long_is_waited_for() -> None:
    """What the feed does not remember comes from the log, a page at a time, with a wait after each."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        await feed.join(reader, opening, after=Position(feed.position.epoch, 0))
        await publish(broker, 1)
        assert reader.offsets == list(range(1, 3 * PAGE + 2))
        assert reader.drains == broker.asked == 3

    run(test, before=3 * PAGE)


def test_what_is_said_while_a_page_is_under_way_comes_once() -> None:
    """Neither what is published before the log answers nor what is published after is lost or doubled."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()

        async def meanwhile() -> None:
            await publish(broker, 1)

        broker.before_answer = broker.after_answer = reader.on_drain = meanwhile
        await feed.join(reader, opening, after=Position(feed.position.epoch, 5))
        broker.before_answer = broker.after_answer = None
        await publish(broker, 5)
        assert reader.heard[0] == "opening 5"
        assert reader.offsets == list(range(6, feed.position.offset + 1))

    run(test, before=150)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_events_leaves_no_gap_and_no_duplicate(seed: int) -> None:
    """Readers come, go, and come back with their position while others publish."""

    async def test(broker: Slow, feed: Feed) -> None:
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
            heard: list[int] = []
            start = feed.position
            for _ in range(10):
                reader = Reader()
                reader.on_drain = give_way
                seen = Position(start.epoch, heard[-1]) if heard else start
                await feed.join(reader, opening, after=seen)
                for _ in range(chance.randrange(30)):
                    await asyncio.sleep(0)
                feed.leave(reader)
                heard += reader.offsets
            assert heard == list(range(start.offset + 1, start.offset + 1 + len(heard)))
            return heard

        async with asyncio.TaskGroup() as group:
            group.create_task(speak())
            listeners = [group.create_task(listen()) for _ in range(5)]
        assert any(listener.result() for listener in listeners)

    run(test, before=30)


def test_who_has_missed_too_much_is_told() -> None:
    """What the log keeps no longer is not passed over in silence."""

    async def test(broker: Slow, feed: Feed) -> None:
        old, foreign = Reader(), Reader()
        await feed.join(old, opening, after=Position(feed.position.epoch, 2))
        await feed.join(foreign, opening, after=Position("another", 7))
        assert old.heard == ["opening 20 incomplete", *map(str, range(21, 31))]
        assert foreign.heard == ["opening 20 incomplete", *map(str, range(21, 31))]

    run(test, before=30, limits=Limits(records=10))


def test_a_log_that_is_lost_is_told_to_all() -> None:
    """After the epoch has changed, everybody is told to go on from there; who comes later is told at the opening."""

    async def test(broker: Slow, feed: Feed) -> None:
        there, later = Reader(), Reader()
        await feed.join(there, opening)
        seen = feed.position
        await broker.drop("topic")
        await publish(broker, 2)
        await feed.join(later, opening, after=seen)
        assert there.heard == ["opening 3", "reset 0", "1", "2"]
        assert later.heard == ["opening 0 incomplete", "1", "2"]

    run(test, before=3)


def test_a_log_that_is_lost_while_somebody_joins_is_told() -> None:
    """A reader in the middle of its pages hears of the reset and goes on in the new epoch."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()

        async def lose() -> None:
            reader.on_drain = None
            await broker.drop("topic")
            await publish(broker, 2)

        reader.on_drain = lose
        await feed.join(reader, opening, after=Position(feed.position.epoch, 0))
        await publish(broker, 1)
        assert reader.heard == ["opening 0", *map(str, range(1, PAGE + 1)), "reset 0", "1", "2", "3"]

    run(test, before=2 * PAGE)


@pytest.mark.parametrize("late", [1, 2])
def test_a_feed_behind_the_log_is_waited_for(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that the log has and the feed has not heard of yet comes once."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        heard, held, asked_again = feed.on_record, list[Record](), asyncio.Event()
        monkeypatch.setattr(feed, "on_record", held.append)  # as when a message is still on its way
        await publish(broker, late)

        async def answered() -> None:
            if broker.asked == 2:
                asked_again.set()

        broker.after_answer = answered
        joining = asyncio.create_task(feed.join(reader, opening, after=Position(feed.position.epoch, 1)))
        await asked_again.wait()
        for record in held:
            heard(record)
        await joining
        await asyncio.sleep(0)
        await broker.publish("topic", "{}")
        heard(held[-1])
        await asyncio.sleep(0)
        assert reader.offsets == list(range(2, 5 + late))

    run(test, before=3)


def test_who_leaves_hears_nothing_more() -> None:
    """Leaving is at once, and leaving twice is harmless."""

    async def test(broker: Slow, feed: Feed) -> None:
        reader = Reader()
        await feed.join(reader, opening)
        feed.leave(reader)
        feed.leave(reader)
        await publish(broker, 1)
        assert reader.heard == ["opening 0"]
        assert feed.members == ()

    run(test)


def test_a_signal_reaches_those_whom_it_concerns() -> None:
    """A signal has no position, and the wording says who need not hear it."""

    async def test(broker: Slow, feed: Feed) -> None:
        ana, ben = Reader("ana"), Reader("ben")
        await feed.join(ana, opening)
        await feed.join(ben, opening)
        await broker.signal("topic", "for the server")
        await broker.signal("topic", "ana types")
        assert (ana.heard, ben.heard) == (["opening 0"], ["opening 0", "ana types"])
        assert feed.position.offset == 0

    run(test)


def test_what_is_heard_before_the_subscription_is_confirmed_counts() -> None:
    """A broker may tell of the first record before its block is entered."""

    class Eager(Slow):
        @asynccontextmanager
        async def subscribe(self, topic: str, listener: Listener) -> AsyncIterator[Position]:
            async with super().subscribe(topic, listener) as position:
                await publish(self, 2)
                yield position

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), Eager() as broker:
            feed, reader = Feed(broker, "topic", Numbers()), Reader()
            async with feed.open():
                await feed.join(reader, opening, last=5)
                await publish(broker, 1)
            assert reader.heard == ["opening 0", "1", "2", "3"]

    asyncio.run(main())


def test_feeds_listen_once_for_everybody() -> None:
    """However many join at once, the broker is listened to once; when all have left, no longer."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), Slow() as broker:
            feeds = Feeds(broker, linger=0.01)
            async with feeds.open(), asyncio.TaskGroup() as group:
                readers = [Reader() for _ in range(10)]
                joins = [group.create_task(feeds.join("topic", one, Numbers(), opening)) for one in readers]
                await asyncio.wait(joins)
                [feed] = {join.result() for join in joins}
                await publish(broker, 1)
                assert all(reader.offsets == [1] for reader in readers)
                for reader in readers:
                    feed.leave(reader)
                await broker.deserted.wait()
                await publish(broker, 1)
                assert feed.position.offset == 1

    asyncio.run(main())


def test_feeds_join_when_the_engine_is_back() -> None:
    """A feed that could not be opened is opened by the next who joins."""

    async def main() -> None:
        async with asyncio.timeout(DEADLINE), Slow() as broker:
            feeds = Feeds(broker)
            reader = Reader()
            async with feeds.open():
                broker.away = True
                with pytest.raises(UnavailableError):
                    await feeds.join("topic", reader, Numbers(), opening)
                broker.away = False
                await feeds.join("topic", reader, Numbers(), opening)
                await publish(broker, 1)
            assert reader.heard == ["opening 0", "1"]

    asyncio.run(main())
