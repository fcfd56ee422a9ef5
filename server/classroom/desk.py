"""The teacher's WebSocket: every half second the class as it is, and back what shall be done with whom."""

from __future__ import annotations

import asyncio
import secrets
from typing import NoReturn

from fastapi import WebSocket, WebSocketDisconnect, WebSocketException

from ..echo import Conversation, closing, converse
from ..handshake import Handshake
from ..manager import Manager
from ..messages import Announcement, CloseCode, Error, parse
from .messages import ORDER, Broadcast, Cut, Kick, Slow, Teacher
from .poster import join_address
from .roll import Roll

__all__ = ["Desk"]

INTERVAL = 0.5  # seconds between two looks at the class
PATIENCE = 5.0  # seconds in which the key must have come
MOST_STRANGERS = 100  # connections whose key has not come yet; the oldest has to go for one more
NO_KEY = f'the first message was not {{"type":"teacher","key":…}}, or did not come within {PATIENCE:g} s'


class Desk:
    """Serves the teachers of one app; `connect` is the endpoint."""

    def __init__(self, roll: Roll, manager: Manager, *, key: str, origins: tuple[str, ...]) -> None:
        """Let in whoever has the `key`, from the server's own page or a program, or a page of one of the `origins`."""
        self._roll = roll
        self._manager = manager
        self._key = key.encode()
        self._handshake = Handshake(origins=origins)
        self._strangers: dict[asyncio.Timeout, None] = {}

    async def connect(self, websocket: WebSocket) -> None:
        """Ask for the key, then show the class and do what is asked, until either side ends it.

        The key comes as a message, and not in the address, where it would end up in logs.
        """
        await self._handshake(websocket)
        await websocket.accept()
        async with closing(websocket):
            await self._admit(websocket)
            await converse(websocket, self._obey, model=ORDER, writer=self._show)

    async def _admit(self, websocket: WebSocket) -> None:
        patience = asyncio.timeout(PATIENCE)
        try:
            async with patience:
                self._strangers[patience] = None
                if len(self._strangers) > MOST_STRANGERS:
                    next(iter(self._strangers)).reschedule(0)
                event = await websocket.receive()
        except TimeoutError:
            raise WebSocketException(CloseCode.AUTH_REQUIRED, NO_KEY) from None
        finally:
            self._strangers.pop(patience, None)
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CloseCode.NO_STATUS), event.get("reason"))
        word = parse(event.get("text") or "", Teacher)
        if isinstance(word, Error):
            raise WebSocketException(CloseCode.AUTH_REQUIRED, NO_KEY)
        if not secrets.compare_digest(word.key.encode(errors="replace"), self._key):
            raise WebSocketException(CloseCode.FORBIDDEN, "that is not the key of this class")

    async def _show(self, talk: Conversation) -> NoReturn:
        join = join_address(talk.websocket)
        while True:
            await talk.send_text(self._roll.look(join).encode())
            await asyncio.sleep(INTERVAL)

    async def _obey(self, talk: Conversation, order: Broadcast | Kick | Slow | Cut) -> None:
        if isinstance(order, Broadcast):
            self._manager.to_all(Announcement(text=order.text))
        elif (expected := self._handle(order)) is not None:
            await talk.send(Error(field="id", expected=expected, id=order.id))

    def _handle(self, order: Kick | Slow | Cut) -> str | None:
        """Do it, or say what would have had to be otherwise."""
        student = self._roll.student(order.id)
        if student is None:
            return "the number of a connection that is open"
        if isinstance(order, Kick):
            student.kick()
            return None
        done = student.cut() if isinstance(order, Cut) else student.slow(order.bytes_per_second)
        return None if done else 'a server of its own, "python -m server", to slow or cut a connection'
