"""Every broker keeps the promises of `server.broker.interface`: one suite over all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from server.broker import Broker, Limits, Position
from tests.server.broker.conftest import MakeBroker
from tests.server.broker.machine import machine
from tests.server.broker.recorder import Recorder

pytestmark = pytest.mark.anyio

T = TypeVar("T")


async def _publish(broker: Broker, topic: str, *payloads: object) -> list[Position]:
    return [await broker.publish(topic, str(payload)) for payload in payloads]


async def _until(call: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> None:
    """Call again until the answer is right; for what takes time."""
    async with asyncio.timeout(30):
        while not holds(await call()):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.02)


async def test_offsets_are_one_two_three_in_one_epoch(make_broker: MakeBroker) -> None:
    """The first record of a topic has offset 1, each next one has one more, and the epoch stays the same."""
    async with make_broker(Limits()) as broker:
        positions = await _publish(broker, "t", "a", "b", "c")
        assert [position.offset for position in positions] == [1, 2, 3]
        assert len({position.epoch for position in positions}) == 1


async def test_every_topic_has_a_log_of_its_own(make_broker: MakeBroker) -> None:
    """Publishing to one topic doesn't change the offset of another, and their epochs differ."""
    async with make_broker(Limits()) as broker:
        [first, *_] = await _publish(broker, "one", "a", "b")
        [other] = await _publish(broker, "two", "c")
        assert other.offset == 1
        assert other.epoch != first.epoch
        assert [record.payload for record in (await broker.history("two")).records] == ["c"]


async def test_history_has_what_was_published(make_broker: MakeBroker) -> None:
    """The history without a position has every record: topic, position, payload, and times that don't go back."""
    async with make_broker(Limits()) as broker:
        positions = await _publish(broker, "t", "a", "b", "c")
        history = await broker.history("t")
        assert [record.position for record in history.records] == positions
        assert [(record.topic, record.payload) for record in history.records] == [
            ("t", "a"),
            ("t", "b"),
            ("t", "c"),
        ]
        times = [record.time for record in history.records]
        assert times == sorted(times)
        assert (history.position, history.complete) == (positions[-1], True)


async def test_resume_gets_what_was_missed(make_broker: MakeBroker) -> None:
    """The history after a position begins with the next record, and is complete."""
    async with make_broker(Limits()) as broker:
        positions = await _publish(broker, "t", *range(5))
        for seen, position in enumerate(positions, 1):
            history = await broker.history("t", position)
            assert [int(record.payload) for record in history.records] == list(range(seen, 5))
            assert history.complete


async def test_limit_takes_the_oldest_after_a_position_and_the_newest_without(make_broker: MakeBroker) -> None:
    """A reader that resumes reads forward in pages; a new one reads the last few; with 0 it gets only the position."""
    async with make_broker(Limits()) as broker:
        positions = await _publish(broker, "t", *range(1, 11))

        async def page(after: Position | None, limit: int) -> list[int]:
            history = await broker.history("t", after, limit=limit)
            assert history.position == positions[-1]
            assert history.complete
            return [record.position.offset for record in history.records]

        assert await page(positions[3], 3) == [5, 6, 7]
        assert await page(positions[3], 100) == [5, 6, 7, 8, 9, 10]
        assert await page(None, 3) == [8, 9, 10]
        assert await page(None, 100) == list(range(1, 11))
        assert await page(None, 0) == await page(positions[3], 0) == []


async def test_topic_without_records_has_a_position(make_broker: MakeBroker) -> None:
    """Reading a new topic gives offset 0, and a reader can resume from it after the first record."""
    async with make_broker(Limits()) as broker:
        empty = await broker.history("t")
        assert (empty.records, empty.position.offset, empty.complete) == ((), 0, True)
        [first] = await _publish(broker, "t", "a")
        assert first == Position(empty.position.epoch, 1)
        history = await broker.history("t", empty.position)
        assert ([record.payload for record in history.records], history.complete) == (["a"], True)


@pytest.mark.parametrize("records", [1, 5])
async def test_number_of_records_is_exact(make_broker: MakeBroker, records: int) -> None:
    """Exactly the newest so many are kept; the position right before them is complete, an earlier one isn't."""
    async with make_broker(Limits(records=records)) as broker:
        positions = await _publish(broker, "t", *range(1, 13))
        kept = list(range(13 - records, 13))
        for position in [Position(positions[0].epoch, 0), *positions]:
            history = await broker.history("t", position)
            complete = position.offset >= 12 - records
            assert history.complete == complete
            offsets = [record.position.offset for record in history.records]
            assert offsets == (list(range(position.offset + 1, 13)) if complete else kept)


async def test_age_takes_records_but_not_offsets(make_broker: MakeBroker) -> None:
    """Old records aren't in the history; the offset goes on, and only readers that missed one are incomplete."""
    async with make_broker(Limits(seconds=0.3)) as broker:
        positions = await _publish(broker, "t", "a", "b")
        await _until(lambda: broker.history("t"), lambda history: not history.records)
        history = await broker.history("t", positions[-1])
        assert (history.records, history.position, history.complete) == ((), positions[-1], True)
        assert not (await broker.history("t", positions[0])).complete
        assert await _publish(broker, "t", "c") == [Position(positions[0].epoch, 3)]


@pytest.mark.parametrize("wrong", ["another epoch", "the future", "no epoch"])
async def test_unknown_position_is_incomplete(make_broker: MakeBroker, wrong: str) -> None:
    """For a position of another epoch or beyond the end, the history has all that is kept and is incomplete."""
    async with make_broker(Limits()) as broker:
        [last] = (await _publish(broker, "t", "a", "b"))[-1:]
        position = {
            "another epoch": Position("0" * len(last.epoch), 1),
            "the future": Position(last.epoch, 3),
            "no epoch": Position("", 0),
        }[wrong]
        history = await broker.history("t", position)
        assert [record.payload for record in history.records] == ["a", "b"]
        assert (history.position, history.complete) == (last, False)
        first = await broker.history("t", position, limit=1)
        assert [record.payload for record in first.records] == ["a"]


async def test_key_stores_once(make_broker: MakeBroker) -> None:
    """The second publication with a key stores and delivers nothing, and returns the position of the first."""
    async with make_broker(Limits()) as broker, broker.subscribe("t", received := Recorder()):
        first = await broker.publish("t", "a", key="k")
        await broker.publish("t", "b")
        assert await broker.publish("t", "a", key="k") == first
        assert await broker.publish("t", "another payload", key="k") == first
        assert (await broker.publish("t", "c", key="other")).offset == 3
        assert (await broker.publish("another topic", "a", key="k")).offset == 1
        await received.until(records=3)
        assert received.payloads == ["a", "b", "c"]
        assert [record.payload for record in (await broker.history("t")).records] == ["a", "b", "c"]


async def test_key_outlives_its_record(make_broker: MakeBroker) -> None:
    """A key is remembered although the record has been dropped by the limit."""
    async with make_broker(Limits(records=2)) as broker:
        first = await broker.publish("t", "a", key="k")
        await _publish(broker, "t", *range(5))
        assert await broker.publish("t", "a", key="k") == first
        assert (await broker.history("t")).position.offset == 6


async def test_key_is_forgotten_in_the_end(make_broker: MakeBroker) -> None:
    """After its time a key is forgotten, so that keys don't fill the memory."""
    async with make_broker(Limits(key_seconds=0.3)) as broker:
        await broker.publish("t", "a", key="k")
        await _until(lambda: broker.publish("t", "a", key="k"), lambda position: position.offset == 2)


async def test_one_key_from_many_publishers(make_broker: MakeBroker) -> None:
    """Twenty publishers with one key at the same time store one record, and all get its position."""
    async with make_broker(Limits()) as broker:
        positions = await asyncio.gather(*[broker.publish("t", f"{n}", key="k") for n in range(20)])
        assert {position.offset for position in positions} == {1}
        assert len((await broker.history("t")).records) == 1


async def test_concurrent_publishers(make_broker: MakeBroker) -> None:
    """Ten publishers with a hundred records each get a thousand offsets without a gap, each in its own order."""
    async with make_broker(Limits()) as broker, broker.subscribe("t", received := Recorder()):

        async def publisher(name: int) -> list[Position]:
            return await _publish(broker, "t", *[f"{name} {n}" for n in range(100)])

        got = await asyncio.gather(*[publisher(name) for name in range(10)])
        assert sorted(position.offset for one in got for position in one) == list(range(1, 1001))
        await received.until(records=1000)
        stored = (await broker.history("t")).records
        assert list(stored) == received.records
        for name, positions in enumerate(got):
            own = [record for record in stored if record.payload.startswith(f"{name} ")]
            assert [record.payload for record in own] == [f"{name} {n}" for n in range(100)]
            assert [record.position for record in own] == positions


async def test_cancelled_publication_is_whole_or_absent(make_broker: MakeBroker) -> None:
    """Cancelled at any moment, a record is stored and delivered once, or not at all, and the log has no gap."""
    rng = random.Random(4)
    async with make_broker(Limits(records=10_000)) as broker, broker.subscribe("t", received := Recorder()):
        answered: dict[str, Position] = {}

        async def publisher(name: str) -> None:
            answered[name] = await broker.publish("t", name, key=name)

        for round_number in range(40):
            tasks = [asyncio.create_task(publisher(f"{round_number} {n}")) for n in range(10)]
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(rng.choice([0, 0, 0.0005]))
            for task in rng.sample(tasks, 5):
                task.cancel()
            await asyncio.wait(tasks)
            assert all(task.cancelled() or task.exception() is None for task in tasks)
        last = await broker.publish("t", "last")
        stored = (await broker.history("t")).records
        await received.until(records=len(stored))
        assert received.records == list(stored)
        assert [record.position.offset for record in stored] == list(range(1, last.offset + 1))
        at = {record.payload: record.position for record in stored}
        assert len(at) == len(stored)
        assert all(at[name] == position for name, position in answered.items())


async def test_open_broker_is_ready(make_broker: MakeBroker) -> None:
    """An open broker is ready, gives no reason, and has the limits that it was made with."""
    limits = Limits(records=7)
    async with make_broker(limits) as broker:
        await broker.publish("t", "a")
        assert (broker.health().ready, broker.health().reason) == (True, "")
        assert broker.limits == limits


async def test_no_task_outlives_the_broker(make_broker: MakeBroker) -> None:
    """Leaving the block ends every task that the broker has started."""
    before = asyncio.all_tasks()
    async with make_broker(Limits()) as broker, broker.subscribe("t", Recorder()):
        await broker.publish("t", "a")
    assert asyncio.all_tasks() == before


def test_behaves_like_the_model(make_broker: MakeBroker) -> None:
    """In any order of calls, a broker answers what a list in plain Python would."""
    run_state_machine_as_test(
        machine(make_broker),
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
