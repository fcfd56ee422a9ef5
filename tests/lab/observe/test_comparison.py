"""The ways to tell everybody: all are measured on the same connections, and one who stalls is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from fastapi import WebSocket
from lab.observe.comparison import draw_bars, measure_cost, measure_stalled, measure_throughput
from matplotlib import pyplot as plt
from matplotlib.figure import Figure


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
    rates = measure_throughput(WAYS, "hi", sizes=(1, 60))
    assert list(rates) == list(WAYS)
    assert all(len(each) == 2 and min(each) > 0 for each in rates.values())
    assert capsys.readouterr().out == "every message has reached everybody by: loop, gather, queue\n"


def test_way_that_forgets_somebody_is_no_winner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries are counted by those who get them."""
    monkeypatch.setattr("lab.observe.comparison.LATE", 0.3)

    async def forgetful(here: Sequence[WebSocket], text: str) -> None:
        await loop(here[:-1], text)

    with pytest.raises(TimeoutError, match="listener 2 has 0 of 10 messages"):
        measure_throughput({"forgetful": (forgetful, nullcontext)}, "hi", sizes=(3,))


def test_one_who_stalls_stops_those_who_wait() -> None:
    """The loop stands at the first, gather before the second message, and a queue goes on."""
    assert measure_stalled(WAYS, "hi", size=5) == {"loop": 0, "gather": 1, "queue": 10}


def test_price_grows_with_the_number_of_listeners() -> None:
    """A frame is made for each of them, and meanwhile nobody else has a turn."""
    few, many = measure_cost(loop, "hi", sizes=(2, 20))
    assert (few.frames, many.frames, few.turns, many.turns) == (2, 20, 0, 0)


def test_member_may_be_made_by_a_plain_function() -> None:
    """What a function returns is the member, with no block to leave."""

    async def send(members: Sequence[WebSocket], text: str) -> None:
        await loop(members, text)

    def same(websocket: WebSocket) -> WebSocket:
        return websocket

    assert measure_cost(send, "hi", sizes=(2,), make_member=same)[0].frames == 2


def test_bars_have_numbers_and_one_colour_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stands at the top, the axis begins at 0, and each bar says its number."""
    shown: list[tuple[Figure, str]] = []
    monkeypatch.setattr("lab.observe.comparison.show_figure", lambda figure, alt: shown.append((figure, alt)))
    draw_bars({"loop": 1.25, "ours": 2_500.0}, "a second", ours="ours")
    ((figure, alt),) = shown
    assert alt == "a second: loop 1.25, ours 2,500"
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.texts] == ["1.25", "2,500"]
    assert axis.get_xlim()[0] == 0
    assert axis.yaxis_inverted()
    assert axis.patches[0].get_facecolor() != axis.patches[1].get_facecolor()
    plt.close(figure)
