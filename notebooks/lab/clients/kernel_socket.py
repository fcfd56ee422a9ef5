"""The WebSocket of a `BrowserClient` whose server runs inside the page, where the browser's own can't reach it.

In JupyterLite the kernel, and with it the server, is a worker of the page. So the page asks the kernel to
connect, and the kernel passes on what the page sends and receives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

__all__ = ["KernelSockets"]

ABNORMAL = 1006  # what a browser reports when no close frame came: RFC 6455, section 7.1.5
NO_CODE = 1005  # and when it had no code

Message = dict[str, Any]


class KernelSockets:
    """The sockets that a page has asked for, by the number that the page gave them.

    `send` passes a message to the page. The sockets run on the loop that runs when this object is made.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._open: dict[int, ClientConnection] = {}

    def handle(self, message: Message) -> None:
        """Do what the page asks: ``open``, ``send`` or ``close``; call it from any thread."""
        self._loop.call_soon_threadsafe(self._handle, message)

    def _handle(self, message: Message) -> None:
        number = message["socket"]
        if message["call"] == "open":
            self._tasks[number] = self._loop.create_task(self._run(number, message))
        elif (connection := self._open.get(number)) is not None:
            task = self._loop.create_task(self._pass_on(connection, message))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        elif message["call"] == "close" and number in self._tasks:
            self._tasks[number].cancel()

    async def _pass_on(self, connection: ClientConnection, message: Message) -> None:
        with suppress(ConnectionClosed):
            if message["call"] == "send":
                await connection.send(message["text"])
            else:
                await connection.close(message["code"], message["reason"])

    async def _run(self, number: int, message: Message) -> None:
        end: Message = {"code": ABNORMAL, "reason": "", "clean": False}
        failed = True
        try:
            async with connect(
                message["url"],
                subprotocols=message["subprotocols"] or None,
                origin=message["origin"],
                user_agent_header=message["agent"],
                ping_interval=None,  # as a browser, which only answers pings
                max_size=None,
                proxy=None,
            ) as connection:
                failed = False
                self._open[number] = connection
                self._report(number, "open", protocol=connection.subprotocol or "")
                with suppress(ConnectionClosed):
                    async for data in connection:
                        self._report(number, "message", **_content(data))
                code = connection.close_code
                clean = code not in (None, ABNORMAL)
                end = {"code": code or NO_CODE, "reason": connection.close_reason or "", "clean": clean}
        except (OSError, InvalidHandshake, asyncio.CancelledError):
            pass  # a page isn't told why
        finally:
            self._open.pop(number, None)
            self._tasks.pop(number, None)
            if failed:
                self._report(number, "error")
            self._report(number, "close", **end)

    def _report(self, number: int, event: str, **detail: Any) -> None:
        self._send({"socket": number, "event": event} | detail)


def _content(data: str | bytes) -> Message:
    return {"text": data} if isinstance(data, str) else {"hex": data.hex()}
