"""One message to everyone: an outbox for each connection, by the fastest way that its server offers (lesson 04).

Nothing here waits for a peer. What happens when an outbox is full is `Overflow`; the fast way is
`server.frame_outbox`, and the portable one, over any ASGI server, is here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Any, NoReturn, Protocol

from fastapi import WebSocket, WebSocketException

from .audience import Audience
from .echo import Conversation
from .frame_outbox import FrameOutbox
from .frames import EXTENSION
from .ledger import FanoutStatistics, OutboxStatistics, ledger, statistics
from .outbox import Outbox, Overflow
from .prepared import Batch, Prepared

__all__ = [
    "Audience",
    "Batch",
    "FanoutStatistics",
    "FrameOutbox",
    "Outbox",
    "OutboxStatistics",
    "Overflow",
    "PortableOutbox",
    "Prepared",
    "SupportsDeliver",
    "fan_out",
    "open_outbox",
    "statistics",
]


class PortableOutbox(Outbox):
    """An outbox over any ASGI server: `writer` is a task that sends one message after the other."""

    __slots__ = ("_filled", "_reason", "_writer")

    def __init__(self, *, messages: int = 256, size: int = 1 << 20, overflow: Overflow = Overflow.DISCONNECT) -> None:
        super().__init__(messages=messages, size=size, overflow=overflow)
        self._filled = asyncio.Event()
        self._reason: WebSocketException | None = None
        self._writer: asyncio.Task[Any] | None = None

    @property
    def writer(self) -> Callable[[Conversation], Awaitable[None]]:
        """Sends what is put, in order, until `end`; the `writer` of `converse`."""
        return self._write

    def _wake(self) -> None:
        self._filled.set()

    def _goodbye(self, code: int, reason: str) -> None:
        self._reason = WebSocketException(code, reason)
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self, talk: Conversation) -> None:
        if self._reason is not None:
            raise self._reason
        self._writer = asyncio.current_task()
        ledger.add(self)
        try:
            await self._send_all(talk)
        except asyncio.CancelledError:
            # like asyncio.timeout: our own cancel becomes the goodbye, unless somebody else has cancelled too
            if self._reason is not None and self._writer is not None and not self._writer.uncancel():
                raise self._reason from None
            raise
        finally:
            self._writer = None
            ledger.retire(self)

    async def _send_all(self, talk: Conversation) -> NoReturn:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                [message] = self._take(1)
                # while the peer keeps up this does not wait, and nobody ever sees it set
                self._set_blocked(blocked=True)
                await talk.send_text(message.text, give_way=False)
                self._set_blocked(blocked=False)
                self._sent += 1
            self._due = False


def open_outbox(
    websocket: WebSocket,
    *,
    messages: int = 256,
    size: int = 1 << 20,
    overflow: Overflow = Overflow.DISCONNECT,
    seconds: float = 10.0,
) -> Outbox:
    """An outbox for this connection, by the fastest way that its server offers.

    Args:
        websocket: the connection, accepted or not.
        messages: how many may wait while the peer does not keep up.
        size: bytes of messages that may wait, as UTF-8.
        overflow: what becomes of one too many.
        seconds: until a peer that takes nothing is closed with 4008, and as many more until its socket is taken away;
            the portable way leaves this to `converse` and the server.
    """
    offer = websocket.scope.get("extensions", {}).get(EXTENSION)
    if offer is None:
        _say_once()
        return PortableOutbox(messages=messages, size=size, overflow=overflow)
    return FrameOutbox(offer["connection"], messages=messages, size=size, overflow=overflow, seconds=seconds)


@cache
def _say_once() -> None:
    # the log of the server software, for its options are what could be changed
    logging.getLogger("uvicorn.error").warning(
        "each message is sent to each connection on its own, which is slow; "
        "under uvicorn pass --ws server.frames:FanoutProtocol, or ws=FanoutProtocol"
    )


class SupportsDeliver(Protocol):
    """An outbox, or a member of a room that has one."""

    def deliver(self, message: Prepared) -> None:
        """Take a message; never waits and never raises."""


def fan_out(receivers: Iterable[SupportsDeliver], message: str | Prepared) -> int:
    """Hand one message at once to every outbox, or member that has one; how many there were. Never waits.

    An `Audience` does the same for receivers that stay, at less cost when much is said.
    """
    ready = Prepared(message) if isinstance(message, str) else message
    count = 0
    for receiver in receivers:
        receiver.deliver(ready)
        count += 1
    return count
