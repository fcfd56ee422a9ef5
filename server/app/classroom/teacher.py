"""The teacher's WebSocket: sends the state of the class every half second, and carries out commands."""

from __future__ import annotations

import asyncio
import secrets
from typing import NoReturn

from fastapi import WebSocket, WebSocketDisconnect, WebSocketException

from ...echo import Conversation, closing, converse
from ...handshake import Handshake
from ...manager import Manager
from ...messages import Announcement, CloseCode, Error, parse
from .join_link import join_address
from .messages import COMMAND, Broadcast, Cut, Kick, Slow, Teacher
from .roster import Roster

__all__ = ["TeacherEndpoint"]

INTERVAL = 0.5  # seconds between two states of the class
KEY_TIMEOUT = 5.0  # seconds until the key must have arrived
MOST_WITHOUT_KEY = 100  # connections whose key has not arrived yet; one more closes the oldest
NO_KEY = f'the first message was not {{"type":"teacher","key":…}}, or did not come within {KEY_TIMEOUT:g} s'


class TeacherEndpoint:
    """Serves the teachers of one app; `connect` is the endpoint."""

    def __init__(self, roster: Roster, manager: Manager, *, key: str, handshake: Handshake) -> None:
        """Accept clients that pass the `handshake` and send the `key`."""
        self._roster = roster
        self._manager = manager
        self._key = key.encode()
        self._handshake = handshake
        self._without_key: dict[asyncio.Timeout, None] = {}

    async def connect(self, websocket: WebSocket) -> None:
        """Check the key, then send the class and carry out commands until either side closes.

        The key comes in a message and not in the address, because addresses end up in logs.
        """
        await self._handshake(websocket)
        await websocket.accept()
        async with closing(websocket):
            await self._check_key(websocket)
            await converse(websocket, self._on_command, model=COMMAND, writer=self._send_states)

    async def _check_key(self, websocket: WebSocket) -> None:
        timeout = asyncio.timeout(KEY_TIMEOUT)
        try:
            async with timeout:
                self._without_key[timeout] = None
                if len(self._without_key) > MOST_WITHOUT_KEY:
                    next(iter(self._without_key)).reschedule(0)
                event = await websocket.receive()
        except TimeoutError:
            raise WebSocketException(CloseCode.AUTH_REQUIRED, NO_KEY) from None
        finally:
            self._without_key.pop(timeout, None)
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", CloseCode.NO_STATUS), event.get("reason"))
        message = parse(event.get("text") or "", Teacher)
        if isinstance(message, Error):
            raise WebSocketException(CloseCode.AUTH_REQUIRED, NO_KEY)
        if not secrets.compare_digest(message.key.encode(errors="replace"), self._key):
            raise WebSocketException(CloseCode.FORBIDDEN, "that is not the key of this class")

    async def _send_states(self, talk: Conversation) -> NoReturn:
        join = join_address(talk.websocket)
        while True:
            await talk.send_text(self._roster.snapshot(join).encode())
            await asyncio.sleep(INTERVAL)

    async def _on_command(self, talk: Conversation, command: Broadcast | Kick | Slow | Cut) -> None:
        if isinstance(command, Broadcast):
            self._manager.to_all(Announcement(text=command.text))
        elif (expected := self._control(command)) is not None:
            await talk.send(Error(field="id", expected=expected, id=command.id))

    def _control(self, command: Kick | Slow | Cut) -> str | None:
        """Carry out a command on one connection, or return what was expected instead."""
        student = self._roster.student(command.id)
        if student is None:
            return "the number of an open connection"
        match command:
            case Kick():
                student.kick()
                return None
            case Cut():
                done = student.cut()
            case Slow(bytes_per_second=rate):
                done = student.slow(rate)
        return None if done else 'a server started with "python -m server", which can slow or cut a connection'
