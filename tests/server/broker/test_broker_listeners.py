"""Every broker delivers each record once, in order, from the position that the listener got."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from server.broker import Broker, Limits, Position
from tests.server.broker.conftest import MakeBroker
from tests.server.broker.recorder import Recorder

pytestmark = pytest.mark.anyio


async def _publish(broker: Broker, topic: str, *payloads: object) -> list[Position]:
    return [await broker.publish(topic, str(payload)) for payload in payloads]


async def test_subscription_has_no_gap_and_no_duplicate(make_broker: MakeBroker) -> None:
    """The history up to the position and the records after it are everything, while others keep publishing."""
    async with make_broker(Limits(records=10_000)) as broker:
        total, joined = 600, 0

        async def publisher(name: int) -> None:
            for n in range(total // 3):
                await broker.publish("t", f"{name} {n}")
                await asyncio.sleep(0)

        async def reader() -> None:
            nonlocal joined
            received = Recorder()
            async with broker.subscribe("t", received) as position:
                joined += 1
                before = (await broker.history("t")).records[: position.offset]
                await received.until(records=total - position.offset)
            assert [record.position.offset for record in before] + received.offsets == list(range(1, total + 1))

        async def readers() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(reader())
                    await asyncio.sleep(0.001)

        await asyncio.gather(readers(), *[publisher(name) for name in range(3)])
        assert joined == 20


async def test_churn_of_listeners(make_broker: MakeBroker) -> None:
    """Listeners that come and go receive every record from their position until they leave, and none after."""
    async with make_broker(Limits()) as broker:
        over = asyncio.Event()

        async def visitor(seed: int) -> None:
            rng = random.Random(seed)
            while not over.is_set():
                received = Recorder()
                async with broker.subscribe("t", received) as position:
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)
                    if rng.random() < 0.3:
                        await received.until(records=1)
                known = len(received.records)
                await asyncio.sleep(0)
                assert received.offsets == list(range(position.offset + 1, position.offset + 1 + known))

        async def publisher() -> None:
            await _publish(broker, "t", *range(300))
            over.set()
            while not all(task.done() for task in visitors):  # those who wait for one more record get it
                await broker.publish("t", "one more")
                await asyncio.sleep(0.001)

        visitors = [asyncio.create_task(visitor(seed)) for seed in range(5)]
        async with asyncio.timeout(20):
            await publisher()
            await asyncio.gather(*visitors)


async def test_listener_that_raises_affects_nobody_else(
    make_broker: MakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The publisher gets its position, the other listeners the record, the log the exception; and so the next time."""

    class Raises(Recorder):
        def on_record(self, record: object) -> None:
            raise RuntimeError("a listener's own mistake")

    caplog.set_level(logging.ERROR)
    async with (
        make_broker(Limits()) as broker,
        broker.subscribe("t", before := Recorder()),
        broker.subscribe("t", Raises()),
        broker.subscribe("t", after := Recorder()),
    ):
        await _publish(broker, "t", "a", "b")
        await before.until(records=2)
        await after.until(records=2)
    assert caplog.text.count("RuntimeError: a listener's own mistake") == 2


async def test_signal_reaches_only_present_listeners(make_broker: MakeBroker) -> None:
    """A signal isn't stored, has no offset, and can't be received later."""
    async with make_broker(Limits()) as broker:
        await broker.signal("t", "nobody")
        async with broker.subscribe("t", received := Recorder()) as position:
            await broker.signal("t", "typing")
            await received.until(signals=1)
            await broker.publish("t", "a")
            await received.until(records=1)
        assert received.signals == ["typing"]
        assert received.offsets == [position.offset + 1] == [1]


async def test_nothing_is_received_after_the_block(make_broker: MakeBroker) -> None:
    """A listener that has left receives neither records nor signals, while another one does."""
    async with make_broker(Limits()) as broker, broker.subscribe("t", stays := Recorder()):
        async with broker.subscribe("t", leaves := Recorder()):
            await broker.publish("t", "a")
            await leaves.until(records=1)
        await broker.publish("t", "b")
        await broker.signal("t", "c")
        await stays.until(records=2, signals=1)
        assert (leaves.payloads, leaves.signals) == (["a"], [])


async def test_cancelled_subscription_leaves_nothing(make_broker: MakeBroker) -> None:
    """Subscribing can be cancelled at any moment; the listener then receives nothing."""
    async with make_broker(Limits()) as broker:
        received = [Recorder() for _ in range(30)]

        async def visitor(one: Recorder) -> None:
            async with broker.subscribe("t", one):
                await asyncio.Event().wait()

        for number, one in enumerate(received):
            task = asyncio.create_task(visitor(one))
            for _ in range(number % 6):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        async with broker.subscribe("t", stays := Recorder()):
            await broker.publish("t", "a")
            await stays.until(records=1)
        assert not any(one.records for one in received)


async def test_a_thousand_topics(make_broker: MakeBroker) -> None:
    """With a thousand topics, each listener receives the records of its topic, and no others."""
    async with make_broker(Limits()) as broker:
        received = {f"topic-{n}": Recorder() for n in range(1000)}

        async def member(topic: str) -> None:
            async with broker.subscribe(topic, received[topic]) as position:
                assert position.offset == 0
                await _publish(broker, topic, f"{topic} a", f"{topic} b")
                await received[topic].until(records=2)

        await asyncio.gather(*[member(topic) for topic in received])
        assert all(one.payloads == [f"{topic} a", f"{topic} b"] for topic, one in received.items())


async def test_dropped_topic_begins_anew(make_broker: MakeBroker) -> None:
    """After a drop there is a new, empty epoch; old positions are incomplete, and listeners get a reset."""
    async with make_broker(Limits()) as broker, broker.subscribe("t", received := Recorder()):
        old = await broker.publish("t", "a", key="k")
        await received.until(records=1)
        await broker.drop("t")
        await received.until(resets=1)
        new = await broker.publish("t", "b", key="k")
        await received.until(records=2)
        assert new.offset == 1
        assert new.epoch != old.epoch
        assert received.resets == [Position(new.epoch, 0)]
        assert received.payloads == ["a", "b"]
        history = await broker.history("t", old)
        assert ([record.payload for record in history.records], history.complete) == (["b"], False)
        await broker.drop("never used")
