"""What an inbox costs by how much is stored in it; the second table of benchmarks/notifications.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from time import perf_counter

from server.broker import Limits, Position, open_broker
from server.inbox import Inbox

__all__ = ["cost_by_size"]

TOGETHER = 4_000  # publications under way at the same time while an inbox is filled
PAYLOAD = '{"kind":"order","text":"on its way","id":"0011223344556677","data":null}'
ROUNDS = 101  # of which the median is taken


async def cost_by_size(url: str, sizes: Sequence[int], seconds: float) -> list[list[str]]:
    """A row for each size that could be filled within so many seconds, in microseconds for each operation."""
    rows = []
    deadline = perf_counter() + seconds
    async with open_broker(url, limits=Limits(records=2 * max(sizes))) as broker:
        inbox = Inbox(broker, "ana", asyncio.Lock())
        stored = 0
        for size in sizes:
            while stored < size and perf_counter() < deadline:
                count = min(TOGETHER, size - stored)
                await asyncio.gather(*(broker.publish(inbox.topic, PAYLOAD) for _ in range(count)))
                stored += count
            if stored < size:
                rows.append([f"{size:,}", f"not filled within {seconds:g} s"])
                break
            rows.append([f"{size:,}", *[f"{value:,.0f}" for value in await _costs(inbox)]])
            stored = (await inbox.read_state()).newest.offset
    return rows


async def _costs(inbox: Inbox) -> list[float]:
    """Microseconds to push, to count what is unread, to read the last ten, and to acknowledge."""
    newest = (await inbox.read_state()).newest
    start = Position(newest.epoch, newest.offset - ROUNDS)
    marks = iter(range(start.offset, newest.offset))
    return [
        await _median(lambda: inbox.push(kind="order", text="on its way")),
        await _median(inbox.read_state),
        await _median(lambda: inbox.history(Position(newest.epoch, newest.offset - 10), limit=10)),
        await _median(lambda: inbox.acknowledge(Position(newest.epoch, next(marks)))),
    ]


async def _median(call: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = perf_counter()
        await call()
        times.append(perf_counter() - start)
    return median(times) * 1e6
