"""One feed, followed in several ways: each is counted on its own wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import matplotlib as mpl
import pytest
from lab.observe.transports import TransportResult, compare_transports, plot_transports
from matplotlib.figure import Figure
from pydantic import SecretStr
from websockets.asyncio.client import connect

from server import serve
from server.access.tokens import issue_session
from server.app import create_app
from server.settings import Settings
from server.wire.protocol import FanoutProtocol

mpl.use("agg")

pytestmark = pytest.mark.anyio

KEY = "a key of this test, and of no other thing"
ANA = issue_session("ana", key=KEY, seconds=24 * 3600)  # made at collection, used minutes later
HEADERS = {"Authorization": f"Bearer {ANA}"}
Heard = Callable[[str], None]


def written(position: dict[str, Any]) -> str:
    """A position as an address has it."""
    return f"{position['epoch']}:{position['offset']}"


async def ask(url: str, after: Any, heard: Heard) -> None:
    """Poll, no faster than one user may."""
    async with httpx.AsyncClient(base_url=url, headers=HEADERS) as http:
        while True:
            answer = await http.get("/notifications", params={"after": written(after)})
            if answer.status_code == 429:  # all ways together have asked too often
                await asyncio.sleep(0.5)
                continue
            page = answer.raise_for_status().json()
            after = page["position"]
            for notification in page["notifications"]:
                heard(notification["text"])
            await asyncio.sleep(0.25)


async def listen(url: str, after: Any, heard: Heard) -> None:
    """Listen on a WebSocket."""
    async with connect(f"ws{url[4:]}ws", additional_headers=HEADERS) as socket:
        await socket.send(json.dumps({"type": "watch", "after": after}))
        async for text in socket:
            if "kind" in (message := json.loads(text)):
                heard(message["text"])


async def give_up(url: str, after: Any, heard: Heard) -> None:
    """Connect and go."""
    async with httpx.AsyncClient(base_url=url) as http:
        await http.get("/healthz")


async def follow(transports: dict[str, Any]) -> dict[str, TransportResult]:
    """Follow three pieces of news."""
    app = create_app(Settings(key=SecretStr(KEY), messages_per_second=1_000))
    with serve(app, ws=FanoutProtocol) as server:
        return await compare_transports(transports, server, app.state.notifications, user="ana", news=3, pause=0.02)


async def test_each_transport_is_counted_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests, bytes, connections and lines are those of one way; every piece of news has its time."""
    shown: list[tuple[Figure, str]] = []
    monkeypatch.setattr("lab.observe.transports.show_figure", lambda figure, alt: shown.append((figure, alt)))
    measured = await follow({"polling": ask, "WebSocket": listen})
    polled, pushed = measured.values()
    assert [len(one.seconds) for one in measured.values()] == [3, 3]
    assert min(polled.seconds + pushed.seconds) > 0
    assert pushed.requests == pushed.held == 1
    assert polled.requests > 1
    assert min(polled.bytes, pushed.bytes) > 0
    assert polled.lines == 13 + 3  # with `written`, which it calls
    plot_transports(measured)
    ((figure, alt),) = shown
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["requests", "bytes on the wire", "ms until received (median)"]
    assert [chart.partition(":")[0] for chart in alt.split("; ")] == titles
    assert f"requests: polling {polled.requests}, WebSocket 1; " in alt


async def test_a_transport_that_gives_up_is_named() -> None:
    """A client that ends before it has everything raises an error, and doesn't hang."""
    with pytest.raises(RuntimeError, match="short has stopped following"):
        await follow({"short": give_up})
