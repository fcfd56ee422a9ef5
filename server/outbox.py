"""What one connection still has to be sent: bounded, and filled without ever waiting for the peer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NoReturn

from fastapi import WebSocketException

from .echo import Conversation
from .messages import CloseCode

__all__ = ["Outbox"]

AHEAD = 16  # times its bounds that an outbox takes before its writer has had a turn: no fault of the peer


class Outbox:
    """The messages that wait for one connection, and the writer that sends them.

    `put` never waits and never raises, whatever the peer does: a peer that reads too slowly fills its
    outbox and is closed with 4008, and nobody else notices. Use `write` as the `writer` of `converse`.

    A larger outbox forgives longer pauses of a phone in a tunnel, and costs its bytes for each slow
    connection. While the peer keeps up, each turn of the writer empties the outbox. What is put in
    between is not held against the peer, until it is 16 times as much.
    """

    def __init__(self, *, messages: int = 256, size: int = 1 << 20) -> None:
        """Bound the outbox by a number of messages and by a number of bytes, as UTF-8."""
        self._most_messages = messages
        self._most_bytes = size
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._goodbye: WebSocketException | None = None
        self._writer: asyncio.Task[Any] | None = None
        self._blocked = False  # the writer waits for the peer

    def __len__(self) -> int:
        return len(self._texts)

    def put(self, text: str) -> None:
        """Add a ready-made message; one too many closes the connection with 4008 and drops what waits."""
        if self._goodbye is not None:
            return
        self._texts.append(text)
        self._bytes += _size(text)
        times = 1 if self._blocked else AHEAD
        if len(self._texts) > times * self._most_messages or self._bytes > times * self._most_bytes:
            self.end(CloseCode.TOO_SLOW, f"{len(self._texts)} messages of {self._bytes} bytes wait; read faster")
            return
        self._filled.set()

    def end(self, code: CloseCode, reason: str) -> None:
        """Have the connection closed with this code; what waits is dropped, the first `end` counts."""
        if self._goodbye is None:
            self._goodbye = WebSocketException(code, reason)
            self._texts.clear()
            self._bytes = 0
            if self._writer is not None:
                self._writer.cancel()

    async def write(self, talk: Conversation) -> None:
        """Send what is put, in order, until `end`; the `writer` of `converse`.

        Raises:
            WebSocketException: `end` was called, with its code and reason.
        """
        if self._goodbye is not None:
            raise self._goodbye
        self._writer = asyncio.current_task()
        try:
            await self._send_all(talk)
        except asyncio.CancelledError:
            # like asyncio.timeout: our own cancel becomes the goodbye, unless somebody else has cancelled too
            if self._goodbye is not None and self._writer is not None and not self._writer.uncancel():
                raise self._goodbye from None
            raise
        finally:
            self._writer = None

    async def _send_all(self, talk: Conversation) -> NoReturn:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._texts:
                text = self._texts.popleft()
                self._bytes -= _size(text)
                # while the peer keeps up this does not wait, and nobody ever sees it set
                self._blocked = True
                await talk.send_text(text, give_way=False)
                self._blocked = False


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
