"""Four clients of one inbox, and what each costs: polling, long polling, server-sent events, a WebSocket."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import SecretStr
from websockets.asyncio.client import connect

from server import serve
from server.access.tokens import issue_session
from server.app import create_app
from server.settings import Settings
from server.wire.protocol import FanoutProtocol

from ..observe.transports import TransportResult, compare_transports

__all__ = ["compare_four_ways", "four_ways"]

POLL_EVERY = 0.25  # seconds between two polls
LONGEST_WAIT = 20  # seconds for which a long poll may wait
TIMEOUT = 40.0  # seconds without any bytes

Received = Callable[[str], None]
Follow = Callable[[str, Any, Received], Awaitable[None]]


def four_ways(token: str) -> dict[str, Follow]:
    """Return a client for each way to follow an inbox of `server.app`: ``four_ways(token)["polling"]``.

    The keys are "polling", "long polling", "server-sent events" and "WebSocket". Each value is a coroutine function
    ``follow(url, after, received)``: it calls ``received(text)`` for each notification of the token's user after a
    position, until it is cancelled. `url` is the HTTP address of the server, `after` a dict with `epoch` and `offset`.
    """
    headers = {"Authorization": f"Bearer {token}"}

    async def poll(url: str, after: Any, received: Received) -> None:
        async with _http(url, headers) as http:
            while True:
                after = await _page(http, after, received, wait=0)
                await asyncio.sleep(POLL_EVERY)

    async def long_poll(url: str, after: Any, received: Received) -> None:
        async with _http(url, headers) as http:
            while True:
                after = await _page(http, after, received, wait=LONGEST_WAIT)

    async def events(url: str, after: Any, received: Received) -> None:
        async with (
            _http(url, headers) as http,
            http.stream("GET", "/notifications/stream", params={"after": _text(after)}) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: ") and "text" in (message := json.loads(line.removeprefix("data: "))):
                    received(message["text"])

    async def websocket(url: str, after: Any, received: Received) -> None:
        address = url.replace("http", "ws", 1) + "ws"
        async with connect(address, additional_headers=headers, compression=None, proxy=None) as socket:
            await socket.send(json.dumps({"type": "watch", "after": after}))
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "notification":
                    received(message["text"])

    return {"polling": poll, "long polling": long_poll, "server-sent events": events, "WebSocket": websocket}


async def compare_four_ways() -> dict[str, TransportResult]:
    """Push ten notifications to the finished backend while four clients follow its inbox.

    Example: ``measured = await compare_four_ways()``.

    Returns:
        A `TransportResult` for each way: ``.requests``, ``.bytes`` on the wire, ``.typical`` seconds until it is
        received. `plot_transports` draws them.

    Raises: as `compare_transports`.
    """
    key = secrets.token_urlsafe(32)
    app = create_app(Settings(key=SecretStr(key)))
    with serve(app, ws=FanoutProtocol) as server:
        ways = four_ways(issue_session("ana", key=key, seconds=60))
        return await compare_transports(ways, server, app.state.notifications, user="ana")


def _http(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False)


async def _page(http: httpx.AsyncClient, after: Any, received: Received, *, wait: int) -> Any:
    """Ask once, pass on what has come, and return the position to continue after."""
    answer = await http.get("/notifications", params={"after": _text(after), "wait": wait})
    page = answer.raise_for_status().json()
    for notification in page["notifications"]:
        received(notification["text"])
    return page["position"]


def _text(position: Any) -> str:
    return f"{position['epoch']}:{position['offset']}"
