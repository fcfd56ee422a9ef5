"""Many messages at the price of one, and the wait until all have left: the same for every outbox and policy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.broadcasting import Batch, FrameOutbox, Overflow, Prepared

DEADLINE = 60.0  # seconds


class Link:
    """A connection that takes nothing by itself."""

    source: FrameOutbox

    def __init__(self) -> None:
        self.close_frame: tuple[int, str] | None = None
        self.written = b""
        self.keeps_up = True

    def attach(self, source: FrameOutbox, *, seconds: float) -> Link:
        """Be the connection of an outbox, and its flusher."""
        self.source = source
        return self

    def add(self, source: FrameOutbox) -> None:
        """Something waits."""

    def flush(self) -> None:
        """Take all that waits; from then on the outbox may write by itself, if the peer keeps up."""
        self.written += self.source.take_frames(1 << 16)
        self.source.set_writer(self.write if self.keeps_up else None)

    def write(self, frames: bytes) -> None:
        """Take what is written without being asked for."""
        assert self.keeps_up
        self.written += frames

    def close_now(self, code: int, reason: str) -> None:
        """Keep the code and reason."""
        self.close_frame = code, reason


def made(**options: Any) -> tuple[FrameOutbox, Link]:
    """An outbox and its connection."""
    link = Link()
    return FrameOutbox(link, **options), link  # type: ignore[arg-type]  # as much of a connection as it needs


prepared = st.builds(Prepared, st.text(max_size=8), st.sampled_from([None, "a", "b"]))


@pytest.mark.parametrize("overflow", Overflow)
@settings(deadline=None)
@given(batches=st.lists(st.lists(prepared, min_size=1, max_size=30), max_size=5))
def test_a_batch_is_its_messages(overflow: Overflow, batches: list[list[Prepared]]) -> None:
    """Delivered together or one after the other, what waits is the same, and so is the end of a slow peer."""
    (together, link), (single, other) = (made(messages=3, size=20, overflow=overflow) for _ in range(2))
    for messages in batches:
        together.send_many_nowait(Batch(tuple(messages)))
        for message in messages:
            single.send_nowait(message)
    assert (link.close_frame is None) == (other.close_frame is None)
    if link.close_frame is None:
        assert together.take_frames(1 << 20) == single.take_frames(1 << 20)


steps = st.one_of(st.lists(prepared, min_size=1, max_size=5), prepared, st.just("flush"), st.booleans())


@settings(deadline=None)
@given(steps=st.lists(steps, max_size=30), overflow=st.sampled_from([Overflow.DISCONNECT, Overflow.DROP_OLDEST]))
def test_order_and_counts_are_the_same_in_batches_and_alone(steps: list[Any], overflow: Overflow) -> None:
    """In one piece or through the line, for a peer that keeps up, stops and keeps up again."""
    outbox, link = made(overflow=overflow)
    put: list[Prepared] = []
    for step in [*steps, True, "flush"]:
        if isinstance(step, bool):
            link.keeps_up = step
            outbox.set_writer(None)
        elif step == "flush":
            outbox.flush()
        elif isinstance(step, list):
            outbox.send_many_nowait(Batch(tuple(step)))
            put += step
        else:
            outbox.send_nowait(step)
            put.append(step)
        seen = outbox.statistics()
        assert (seen.messages, seen.sent + seen.messages, seen.dropped) == (len(outbox), len(put), 0)
        assert outbox.dequeued == seen.sent
        assert seen.size == sum(message.size for message in put[seen.sent :])
    assert link.written == b"".join(message.frame for message in put)


def test_a_batch_in_one_piece_is_dropped_as_others_are() -> None:
    """An outbox that ends before its turn sends nothing more, and says how much that was."""
    outbox, link = made()
    outbox.flush()
    outbox.send_many_nowait(Batch((Prepared("one"), Prepared("two"))))
    outbox.end(1000, "enough")
    outbox.flush()
    outbox.send_many_nowait(Batch((Prepared("three"),)))
    outbox.flush()
    seen = outbox.statistics()
    assert (link.written, seen.dropped, seen.sent, len(outbox)) == (b"", 2, 0, 0)


def test_a_batch_beyond_the_bounds_is_refused() -> None:
    """A way of its own is none around the bounds."""
    outbox, link = made(messages=1)
    outbox.flush()
    outbox.send_many_nowait(Batch((Prepared("x"),) * 17))  # sixteen times as much, before its turn
    assert link.close_frame is not None
    assert link.written == b""


def test_frames_that_were_joined_for_another_are_not_mixed_up() -> None:
    """Each gets its own, whatever the one before got."""
    first, second, third = (made()[0] for _ in range(3))
    common = Batch((Prepared("one"), Prepared("two")))
    for outbox in (first, second, third):
        outbox.send_many_nowait(common)
    second.send_nowait("three")
    frames = [outbox.take_frames(1 << 16) for outbox in (first, second, third)]
    assert frames == [b"\x81\x03one\x81\x03two", b"\x81\x03one\x81\x03two\x81\x05three", b"\x81\x03one\x81\x03two"]


@pytest.mark.anyio
@pytest.mark.parametrize("way_out", ["taken", "ended", "lost"])
async def test_drained_returns_when_nothing_is_queued(way_out: str) -> None:
    """When all has been taken, and when the connection is over; several at once, and one of them cancelled."""
    outbox, _ = made()
    await outbox.drained()
    outbox.send_nowait("one")
    tasks = [asyncio.create_task(outbox.drained()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    assert not tasks[1].done()
    {
        "taken": lambda: outbox.take_frames(1 << 16),
        "ended": lambda: outbox.end(1000, ""),
        "lost": outbox.connection_lost,
    }[way_out]()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*tasks[1:])
