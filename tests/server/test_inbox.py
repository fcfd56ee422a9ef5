"""The inbox as a data structure, over every broker: what is unread, what is kept, and which mark counts."""

from __future__ import annotations

import asyncio
import json

import pytest

from server.broker import Broker, History, Limits, PayloadError, Position, open_broker
from server.broker.sqlite.broker import LocalBroker
from server.inbox import Inbox, PositionError, parse_notification


def inbox_of(broker: Broker, user: str = "ana") -> Inbox:
    """An inbox as another process would have it: with a turn of its own."""
    return Inbox(broker, user, asyncio.Lock())


async def push(inbox: Inbox, count: int) -> list[Position]:
    """Push so many notifications; their positions."""
    return [await inbox.push(kind="k", text=str(number)) for number in range(count)]


@pytest.mark.anyio
async def test_what_is_unread_is_what_comes_after_the_mark(log_url: str) -> None:
    """As long as it is kept: by the end, nothing that is gone is counted."""
    unread = []
    async with open_broker(log_url, limits=Limits(records=5)) as broker:
        inbox = inbox_of(broker)
        unread.append((await inbox.read_state()).unread)
        positions = await push(inbox, 4)
        unread.append((await inbox.read_state()).unread)
        await inbox.acknowledge(positions[2])
        unread.append((await inbox.read_state()).unread)
        await push(inbox, 3)
        unread.append((await inbox.read_state()).unread)
        await push(inbox, 30)
        unread.append((await inbox.read_state()).unread)
    assert unread == [0, 4, 1, 4, 5]


@pytest.mark.anyio
async def test_marks_that_are_stored_in_the_wrong_order_never_go_back(log_url: str) -> None:
    """Two processes acknowledge at once, and the smaller position is stored last."""
    async with open_broker(log_url) as broker:
        inbox = inbox_of(broker)
        positions = await push(inbox, 9)
        for offset in (7, 5, 6):
            mark = {"epoch": positions[0].epoch, "offset": offset}
            await broker.publish(inbox.marks_topic, json.dumps(mark))
        assert await inbox.acknowledge(positions[1]) == await inbox_of(broker).read_state()
        state = await inbox.read_state()
    assert state.read is not None
    assert (state.read.offset, state.unread) == (7, 2)


@pytest.mark.anyio
async def test_many_acknowledge_at_once(log_url: str) -> None:
    """Whatever the order, the greatest position is what has been read."""
    async with open_broker(log_url) as broker:
        inboxes = [inbox_of(broker) for _ in range(3)]
        positions = await push(inboxes[0], 30)
        async with asyncio.TaskGroup() as group:
            for number, position in enumerate(reversed(positions[:-1])):
                group.create_task(inboxes[number % 3].acknowledge(position))
        result = (await inboxes[0].read_state()).unread
    assert result == 1


@pytest.mark.anyio
async def test_a_mark_of_a_log_that_was_lost_counts_no_more(log_url: str) -> None:
    """What comes after the loss is unread, though its offsets are smaller."""
    async with open_broker(log_url) as broker:
        inbox = inbox_of(broker)
        old = (await push(inbox, 5))[-1]
        await inbox.acknowledge(old)
        await broker.drop(inbox.topic)
        new = await push(inbox, 2)
        lost = await inbox.read_state()
        with pytest.raises(PositionError):
            await inbox.acknowledge(old)
        after = await inbox.acknowledge(new[0])
    assert (lost.read, lost.unread, lost.newest.offset) == (None, 2, 2)
    assert (after.unread, after.newest) == (1, lost.newest)


@pytest.mark.anyio
async def test_what_is_too_old_is_neither_kept_nor_unread() -> None:
    """To the second, before any sweep; and the mark may be forgotten with it."""
    now = [0.0]

    found = []
    async with LocalBroker(limits=Limits(seconds=10), clock=lambda: now[0]) as broker:
        inbox = inbox_of(broker)
        for now[0] in (0, 4, 8, 12):
            position = await inbox.push(kind="k", text=f"at {now[0]}")
            state, kept = await inbox.read_state(), await inbox.history(limit=9)
            found.append((state.unread, [parse_notification(record).text for record in kept.records]))
        await inbox.acknowledge(position)
        for now[0] in (13, 21, 23):
            state, kept = await inbox.read_state(), await inbox.history(limit=9)
            found.append((state.unread, [parse_notification(record).text for record in kept.records]))
    assert found == [
        (1, ["at 0"]),
        (2, ["at 0", "at 4"]),
        (3, ["at 0", "at 4", "at 8"]),
        (3, ["at 4", "at 8", "at 12"]),
        (0, ["at 4", "at 8", "at 12"]),
        (0, ["at 12"]),
        (0, []),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"text": "\ud800"}, ValueError),
        ({"data": "\ud800"}, PayloadError),
        ({"data": object()}, ValueError),
        ({"data": float("nan")}, ValueError),
        ({"data": json.loads("[" * 51 + "]" * 51)}, ValueError),
        ({"data": [10**5_000]}, PayloadError),
        ({"text": 70_000 * "x"}, PayloadError),
        ({"key": 201 * "k"}, PayloadError),
    ],
)
async def test_what_no_log_can_carry_is_refused(content: dict[str, object], error: type[Exception]) -> None:
    """With an error that says so, before anything is stored."""
    async with LocalBroker() as broker:
        inbox = inbox_of(broker)
        with pytest.raises(error):
            await inbox.push(**({"kind": "k", "text": "t"} | content))  # type: ignore[arg-type]
        result = (await inbox.read_state()).unread
    assert result == 0


@pytest.mark.anyio
async def test_no_question_costs_more_because_much_is_stored() -> None:
    """The number of records that are read is the same at ten and at five thousand stored."""

    class Counting(LocalBroker):
        read = 0

        async def history(self, topic: str, after: Position | None = None, *, limit: int | None = None) -> History:
            history = await super().history(topic, after, limit=limit)
            self.read += len(history.records)
            return history

    async def records_read(count: int) -> int:
        async with Counting(limits=Limits(records=10_000)) as broker:
            inbox = inbox_of(broker)
            positions = await push(inbox, count)
            broker.read = 0
            await inbox.read_state()
            await inbox.acknowledge(positions[3])
            assert (await inbox.read_state()).unread == count - 4
            return broker.read

    assert await records_read(10) == await records_read(5_000) <= 8
