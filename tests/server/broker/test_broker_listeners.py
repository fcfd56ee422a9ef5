"""Every broker tells its listeners each record once, in order, from the position that they were given."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from server.broker import Broker, Limits, Position
from tests.server.broker.conftest import Opening
from tests.server.broker.heard import Heard


async def _publish(broker: Broker, topic: str, *payloads: object) -> list[Position]:
    return [await broker.publish(topic, str(payload)) for payload in payloads]


def test_subscription_has_no_gap_and_no_duplicate(opening: Opening) -> None:
    """History up to the position and the records after it are everything, while others publish all the time."""

    async def run() -> None:
        async with opening(Limits(records=10_000)) as broker:
            total, joined = 600, 0

            async def publisher(name: int) -> None:
                for n in range(total // 3):
                    await broker.publish("t", f"{name} {n}")
                    await asyncio.sleep(0)

            async def reader() -> None:
                nonlocal joined
                heard = Heard()
                async with broker.subscribe("t", heard) as position:
                    joined += 1
                    before = (await broker.history("t")).records[: position.offset]
                    await heard.until(records=total - position.offset)
                assert [record.position.offset for record in before] + heard.offsets == list(range(1, total + 1))

            async def readers() -> None:
                async with asyncio.TaskGroup() as group:
                    for _ in range(20):
                        group.create_task(reader())
                        await asyncio.sleep(0.001)

            await asyncio.gather(readers(), *[publisher(name) for name in range(3)])
            assert joined == 20

    asyncio.run(run())


def test_churn_of_listeners(opening: Opening) -> None:
    """Whoever comes and goes while records come hears a run without a gap from its position on, and nothing after."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            over = asyncio.Event()

            async def visitor(seed: int) -> None:
                rng = random.Random(seed)
                while not over.is_set():
                    heard = Heard()
                    async with broker.subscribe("t", heard) as position:
                        for _ in range(rng.randrange(4)):
                            await asyncio.sleep(0)
                        if rng.random() < 0.3:
                            await heard.until(records=1)
                    known = len(heard.records)
                    await asyncio.sleep(0)
                    assert heard.offsets == list(range(position.offset + 1, position.offset + 1 + known))

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

    asyncio.run(run())


def test_listener_that_raises_hurts_nobody(opening: Opening, caplog: pytest.LogCaptureFixture) -> None:
    """The publisher gets its position, the other listeners the record, the log the exception; and so the next time."""

    class Raises(Heard):
        def on_record(self, record: object) -> None:
            raise RuntimeError("a listener's own mistake")

    async def run() -> None:
        async with (
            opening(Limits()) as broker,
            broker.subscribe("t", before := Heard()),
            broker.subscribe("t", Raises()),
            broker.subscribe("t", after := Heard()),
        ):
            await _publish(broker, "t", "a", "b")
            await before.until(records=2)
            await after.until(records=2)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert caplog.text.count("RuntimeError: a listener's own mistake") == 2


def test_signal_reaches_only_those_who_listen_now(opening: Opening) -> None:
    """A signal is not stored, takes no offset, and nobody hears it later."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            await broker.signal("t", "nobody")
            async with broker.subscribe("t", heard := Heard()) as position:
                await broker.signal("t", "typing")
                await heard.until(signals=1)
                await broker.publish("t", "a")
                await heard.until(records=1)
            assert heard.signals == ["typing"]
            assert heard.offsets == [position.offset + 1] == [1]

    asyncio.run(run())


def test_nothing_is_heard_after_the_block(opening: Opening) -> None:
    """A listener that has left hears neither records nor signals, while another one does."""

    async def run() -> None:
        async with opening(Limits()) as broker, broker.subscribe("t", stays := Heard()):
            async with broker.subscribe("t", leaves := Heard()):
                await broker.publish("t", "a")
                await leaves.until(records=1)
            await broker.publish("t", "b")
            await broker.signal("t", "c")
            await stays.until(records=2, signals=1)
            assert (leaves.payloads, leaves.signals) == (["a"], [])

    asyncio.run(run())


def test_cancelled_subscription_leaves_nothing(opening: Opening) -> None:
    """Whoever is cancelled while subscribing is told nothing, whenever that happens."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            heard = [Heard() for _ in range(30)]

            async def visitor(one: Heard) -> None:
                async with broker.subscribe("t", one):
                    await asyncio.Event().wait()

            for number, one in enumerate(heard):
                task = asyncio.create_task(visitor(one))
                for _ in range(number % 6):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
            async with broker.subscribe("t", stays := Heard()):
                await broker.publish("t", "a")
                await stays.until(records=1)
            assert not any(one.records for one in heard)

    asyncio.run(run())


def test_a_thousand_topics(opening: Opening) -> None:
    """A thousand topics with a listener each are told what is theirs, and nothing else."""

    async def run() -> None:
        async with opening(Limits()) as broker:
            heard = {f"topic-{n}": Heard() for n in range(1000)}

            async def member(topic: str) -> None:
                async with broker.subscribe(topic, heard[topic]) as position:
                    assert position.offset == 0
                    await _publish(broker, topic, f"{topic} a", f"{topic} b")
                    await heard[topic].until(records=2)

            await asyncio.gather(*[member(topic) for topic in heard])
            assert all(one.payloads == [f"{topic} a", f"{topic} b"] for topic, one in heard.items())

    asyncio.run(run())


def test_dropped_topic_begins_anew(opening: Opening) -> None:
    """After a drop there is a new epoch without records and keys, old positions are incomplete, listeners are told."""

    async def run() -> None:
        async with opening(Limits()) as broker, broker.subscribe("t", heard := Heard()):
            old = await broker.publish("t", "a", key="k")
            await heard.until(records=1)
            await broker.drop("t")
            await heard.until(resets=1)
            new = await broker.publish("t", "b", key="k")
            await heard.until(records=2)
            assert new.offset == 1
            assert new.epoch != old.epoch
            assert heard.resets == [Position(new.epoch, 0)]
            assert heard.payloads == ["a", "b"]
            history = await broker.history("t", old)
            assert ([record.payload for record in history.records], history.complete) == (["b"], False)
            await broker.drop("never used")

    asyncio.run(run())
