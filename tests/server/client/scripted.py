"""A server that runs a script of the test on each connection, and clients that reconnect quickly."""

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
from server.access.tokens import issue_session
from server.client import Backoff, Client, ConnectOptions, LostMessages, Reader
from tests.server.people import DEADLINE, KEY

__all__ = [
    "FAST",
    "NO_LIMITS",
    "Script",
    "ScriptedConnection",
    "client",
    "closes",
    "position",
    "refuses",
    "scripted",
    "stays",
    "texts",
]

FAST = ConnectOptions(
    proxy=None,
    messages_per_second=10_000,
    message_burst=10_000,
    joins_per_second=10_000,
    join_burst=10_000,
    open_timeout=DEADLINE,
    backoff=Backoff(base=0.02, busy_base=0.03, maximum=0.1),
)
"""Reconnects at once, and sends as fast as it can."""

NO_LIMITS: dict[str, Any] = {"messages_per_second": 10_000, "message_burst": 10_000, "joins_per_second": 10_000}
"""Settings of a server with limits that no test reaches."""


class ScriptedConnection:
    """The server's side of one connection, for a script."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket

    async def welcome(self) -> None:
        """Let the client in."""
        await self.websocket.accept()
        await self.send(type="welcome", user="ana", device="")

    async def send(self, **fields: Any) -> None:
        """Send one message."""
        await self.websocket.send_text(json.dumps(fields))

    async def receive(self, type: str) -> dict[str, Any]:  # noqa: A002
        """Return the next message of this type, and ignore others."""
        while True:
            message: dict[str, Any] = json.loads(await self.websocket.receive_text())
            if message["type"] == type:
                return message

    async def until_closed(self) -> None:
        """Wait until the client closes the connection."""
        while (await self.websocket.receive())["type"] != "websocket.disconnect":
            pass


Script = Callable[[ScriptedConnection], Awaitable[None]]


def closes(code: int, reason: str = "") -> Script:
    """Welcome the client, and close."""

    async def script(connection: ScriptedConnection) -> None:
        await connection.welcome()
        await connection.websocket.close(code, reason)

    return script


def refuses(status: int, reason: str = "", headers: dict[str, str] | None = None) -> Script:
    """Answer the handshake with an HTTP status."""

    async def script(connection: ScriptedConnection) -> None:
        raise HTTPException(status, reason, headers)

    return script


async def stays(connection: ScriptedConnection) -> None:
    """Welcome the client and listen to it."""
    await connection.welcome()
    await connection.until_closed()


def scripted(*scripts: Script) -> Starlette:
    """Return an app that runs one script on each connection; the last script is for all later ones."""
    left = list(scripts)

    async def endpoint(websocket: WebSocket) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        with suppress(WebSocketDisconnect):
            await script(ScriptedConnection(websocket))

    return Starlette(routes=[WebSocketRoute("/ws", endpoint)])


def position(offset: int, epoch: str = "e") -> dict[str, Any]:
    """Return a position as a message has it."""
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
    """Open a client of a server, in a block that has a deadline."""
    token = options.pop("token", None) or issue_session(user, key=KEY, seconds=seconds)
    async with asyncio.timeout(DEADLINE):
        async with Client(url or server.http(), token=token, options=FAST, **options) as opened:
            yield opened


async def texts(reader: Reader[Any], count: int) -> list[str]:
    """Return the texts of the next `count` items, with "lost" for lost messages."""
    found: list[str] = []
    async for item in reader:
        found.append("lost" if isinstance(item, LostMessages) else item.text)
        if len(found) == count:
            break
    return found
