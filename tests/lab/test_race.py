"""The ways to tell everybody: all are measured on the same connections, and one who stalls is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from fastapi import WebSocket
from lab.race import chart, price, race, stragglers
from matplotlib import pyplot as plt


async def loop(here: Sequence[WebSocket], text: str) -> None:
    """One after the other."""
    for websocket in here:
        await websocket.send_text(text)


async def gathered(here: Sequence[WebSocket], text: str) -> None:
    """All at once, and waiting for all."""
    await asyncio.gather(*(websocket.send_text(text) for websocket in here))


async def post(here: Sequence[asyncio.Queue[str]], text: str) -> None:
    """Into queues."""
    for queue in here:
        queue.put_nowait(text)


@asynccontextmanager
async def with_queue(websocket: WebSocket) -> AsyncIterator[asyncio.Queue[str]]:
    """A queue and its writer."""

    async def write() -> None:
        while True:
            await websocket.send_text(await queue.get())

    queue: asyncio.Queue[str] = asyncio.Queue()
    writer = asyncio.create_task(write())
    try:
        yield queue
    finally:
        writer.cancel()
        await asyncio.wait([writer])


WAYS: dict[str, Any] = {
    "loop": (loop, nullcontext),
    "gather": (gathered, nullcontext),
    "queue": (post, with_queue),
}


def test_race_tells_a_rate_for_each_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Every way has delivered everything to as many as were asked for, and its name is printed then."""
    rates = race(WAYS, "hi", sizes=(1, 60))
    assert list(rates) == list(WAYS)
    assert all(len(each) == 2 and min(each) > 0 for each in rates.values())
    assert capsys.readouterr().out == "everybody has heard everything by: loop, gather, queue\n"


def test_way_that_forgets_somebody_is_no_winner() -> None:
    """Deliveries are counted by those who get them."""

    async def forgetful(here: Sequence[WebSocket], text: str) -> None:
        await loop(here[:-1], text)

    with pytest.raises(TimeoutError, match="listener 2 has 0 of 10 messages"):
        race({"forgetful": (forgetful, nullcontext)}, "hi", sizes=(3,))


def test_one_who_stalls_stops_those_who_wait() -> None:
    """The loop stands at the first, gather before the second message, and a queue goes on."""
    assert stragglers(WAYS, "hi", size=5) == {"loop": 0, "gather": 1, "queue": 10}


def test_price_grows_with_the_number_of_listeners() -> None:
    """A frame is made for each of them, and meanwhile nobody else has a turn."""
    few, many = price(loop, "hi", sizes=(2, 20))
    assert (few.frames, many.frames, few.turns, many.turns) == (2, 20, 0, 0)


def test_chart_has_a_line_for_each_way() -> None:
    """Several lines are named; one needs no name."""
    for lines in ({"loop": [1.0, 2.0]}, {"loop": [1.0, 2.0], "gather": [2.0, 3.0]}):
        chart(lines, (10, 100), "ms")
        assert [line.get_label() for line in plt.gca().lines] == list(lines)
        assert bool(plt.gcf().legends) is (len(lines) > 1)
        plt.close()
