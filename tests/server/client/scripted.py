"""A server that does to each connection what the test wrote for it, on the wire; and clients that come back quickly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import HTTPException
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from server import BackgroundServer
from server.client import Backoff, Client, Missed, Reader, Wires
from server.tickets import issue_session
from tests.server.people import DEADLINE, KEY

__all__ = ["PLENTY", "QUICK", "Line", "Script", "client", "closes", "position", "refuses", "scripted", "stays", "texts"]

QUICK = Wires(
    proxy=None, per_second=10_000, burst=10_000, patience=DEADLINE, backoff=Backoff(base=0.02, busy=0.03, longest=0.1)
)
"""Comes back at once, and says as much as it likes."""

PLENTY: dict[str, Any] = {"messages_per_second": 10_000, "message_burst": 10_000}
"""Limits that no test meets."""


class Line:
    """One connection as a script sees it."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def welcome(self) -> None:
        """Let the client in."""
        await self.websocket.accept()
        await self.say(type="welcome", user="ana", device="")

    async def say(self, **fields: Any) -> None:
        """Say one message."""
        await self.websocket.send_text(json.dumps(fields))

    async def hear(self, type: str) -> dict[str, Any]:  # noqa: A002
        """The next message of this type; others are passed over."""
        while True:
            message: dict[str, Any] = json.loads(await self.websocket.receive_text())
            if message["type"] == type:
                return message

    async def until_left(self) -> None:
        """Wait until the client leaves."""
        while (await self.websocket.receive())["type"] != "websocket.disconnect":
            pass


Script = Callable[[Line], Awaitable[None]]


def closes(code: int, reason: str = "") -> Script:
    """Welcome the client, and close."""

    async def script(line: Line) -> None:
        await line.welcome()
        await line.websocket.close(code, reason)

    return script


def refuses(status: int, reason: str = "") -> Script:
    """Answer the handshake with an HTTP status."""

    async def script(line: Line) -> None:
        raise HTTPException(status, reason)

    return script


async def stays(line: Line) -> None:
    """Welcome the client and listen to it."""
    await line.welcome()
    await line.until_left()


def scripted(*scripts: Script) -> Starlette:
    """An app whose connections get one script each, in turn; the last one is for all that follow."""
    left = list(scripts)

    async def endpoint(websocket: WebSocket) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        with suppress(WebSocketDisconnect):
            await script(Line(websocket))

    return Starlette(routes=[WebSocketRoute("/ws", endpoint)])


def position(offset: int, epoch: str = "e") -> dict[str, Any]:
    """A position as it stands in a message."""
    return {"epoch": epoch, "offset": offset}


@asynccontextmanager
async def client(
    server: BackgroundServer,
    user: str = "ana",
    *,
    seconds: int = 60,
    url: str = "",
    **options: Any,
) -> AsyncIterator[Client]:
    """A client of a server, in a block that has a deadline."""
    token = options.pop("token", None) or issue_session(user, key=KEY, seconds=seconds)
    async with asyncio.timeout(DEADLINE):
        async with Client(url or server.http(), token=token, wires=QUICK, **options) as opened:
            yield opened


async def texts(reader: Reader[Any], count: int) -> list[str]:
    """The texts of the next so many items; that something is missed counts as "missed"."""
    found: list[str] = []
    async for item in reader:
        found.append("missed" if isinstance(item, Missed) else item.text)
        if len(found) == count:
            break
    return found
