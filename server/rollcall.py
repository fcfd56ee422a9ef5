"""Who is present at the other processes, so that a room looks the same whichever of them one is connected to.

Each process tells the others the users that it has in a room, all of them at once: when they have changed,
and every few seconds in any case. A signal that is lost is thus made good by the next. A process that has ended
is forgotten after some time of silence: its users come back elsewhere meanwhile, and nobody sees them go.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

from .broker import Broker, UnavailableError
from .manager import Manager
from .messages import Message, RoomName
from .room import Room, Users

__all__ = ["Present", "Rollcall"]

SILENT = 3  # rounds without a word after which a process counts as gone


class Present(Message):
    """One process to the others: who is in a room with me now."""

    type: Literal["present"] = "present"
    room: RoomName
    process: str
    users: tuple[str, ...] | None = None
    """The names; None in a crowd."""
    count: int
    again: bool = False
    """Whether the others should say theirs, because this process has just begun to listen."""


class Rollcall:
    """Tells the other processes who is in the rooms of this one, and hears of theirs."""

    def __init__(self, broker: Broker, topic_of: Callable[[str], str], *, interval: float = 10.0) -> None:
        """Tell over these topics, every `interval` seconds even when nothing has changed."""
        self.process = secrets.token_hex(8)
        self._broker = broker
        self._topic_of = topic_of
        self._interval = interval
        self._manager: Manager | None = None
        self._news: dict[str, tuple[Users, bool]] = {}  # rooms that the others have to be told of
        self._heard: dict[tuple[str, str], float] = {}  # (room, process): when
        self._woken = asyncio.Event()

    @asynccontextmanager
    async def open(self, manager: Manager) -> AsyncIterator[None]:
        """Call the roll of this manager's rooms for the length of the block."""
        self._manager = manager
        tasks = [asyncio.create_task(run(), name="rollcall") for run in (self._tell, self._repeat)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._manager = None

    def note(self, room: Room) -> None:
        """Have the others told who is in this room; the `on_change` of a `Manager`."""
        self._say(room.name, room.users_here)

    def ask(self, room: str) -> None:
        """Have the others asked who is in a room that somebody of this process has just joined."""
        found = self._manager and self._manager.room(room)
        self._say(room, found.users_here if found else frozenset(), again=True)

    def hear(self, message: Present) -> None:
        """Take in what another process says; what this one has said itself is passed over."""
        room = self._manager and self._manager.room(message.room)
        if not room or message.process == self.process:
            return
        self._heard[message.room, message.process] = asyncio.get_running_loop().time()
        room.hear(message.process, message.count if message.users is None else frozenset(message.users))
        if message.again:
            self.note(room)

    def _say(self, room: str, users: Users, *, again: bool = False) -> None:
        _, asked = self._news.get(room, (None, False))
        self._news[room] = users, again or asked
        self._woken.set()

    async def _tell(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._news:
                room, (users, again) = self._news.popitem()
                message = self._present(room, users, again=again)
                with suppress(UnavailableError):  # the next round says it again
                    await self._broker.signal(self._topic_of(room), message.encode())

    async def _repeat(self) -> None:
        while True:
            # not all processes at once
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))
            self._forget_the_silent()
            for room in self._manager.rooms if self._manager else ():
                self.note(room)

    def _forget_the_silent(self) -> None:
        long_ago = asyncio.get_running_loop().time() - SILENT * self._interval
        for (name, process), heard in list(self._heard.items()):
            if heard < long_ago:
                del self._heard[name, process]
                if self._manager and (room := self._manager.room(name)):
                    room.hear(process, frozenset())

    def _present(self, room: str, users: Users, *, again: bool) -> Present:
        if isinstance(users, int):
            return Present(room=room, process=self.process, count=users, again=again)
        return Present(room=room, process=self.process, count=len(users), users=tuple(sorted(users)), again=again)
