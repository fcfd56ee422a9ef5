"""Presence across processes, so that a room looks the same whichever process a client is connected to.

Each process tells the others which users it has in a room: the full list whenever it changes, and every few
seconds in any case, so a lost signal is made good by the next one. A process that has been silent for a while
is treated as gone. By then its users have connected elsewhere, so nobody sees them leave.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

from ..broker import Broker, UnavailableError
from ..manager import Manager
from ..messages import Message, RoomName
from ..room import Room, Users

__all__ = ["PresenceReport", "PresenceTracker"]

SILENT_ROUNDS = 3  # rounds without a report after which a process counts as gone


class PresenceReport(Message):
    """From one process to the others: who is in a room with me now."""

    type: Literal["present"] = "present"
    room: RoomName
    process: str
    users: tuple[str, ...] | None = None
    """The names; None in a crowded room."""
    count: int
    again: bool = False
    """Whether the others should report too, because this process has just begun to listen."""


class PresenceTracker:
    """Reports to the other processes who is in the rooms of this one, and takes in their reports."""

    def __init__(self, broker: Broker, topic_of: Callable[[str], str], *, interval: float = 10.0) -> None:
        """Report on the topic that `topic_of` gives for a room, every `interval` seconds even if nothing changes."""
        self.process = secrets.token_hex(8)
        self._broker = broker
        self._topic_of = topic_of
        self._interval = interval
        self._manager: Manager | None = None
        self._pending: dict[str, tuple[Users, bool]] = {}  # reports that have not been sent: users, and `again`
        self._last_report: dict[tuple[str, str], float] = {}  # when each (room, process) reported last
        self._has_pending = asyncio.Event()

    @asynccontextmanager
    async def open(self, manager: Manager) -> AsyncIterator[None]:
        """Track the rooms of this manager for the length of the block."""
        self._manager = manager
        tasks = [asyncio.create_task(run(), name="presence") for run in (self._send_pending, self._report_regularly)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._manager = None

    def report(self, room: Room) -> None:
        """Tell the others who is in this room; the `on_change` of a `Manager`."""
        self._enqueue(room.name, room.users_here)

    def request(self, room: str) -> None:
        """Ask the others who is in a room that a user of this process has just joined."""
        found = self._manager and self._manager.room(room)
        self._enqueue(room, found.users_here if found else frozenset(), again=True)

    def receive(self, report: PresenceReport) -> None:
        """Take in the report of another process; ignore this process's own."""
        room = self._manager and self._manager.room(report.room)
        if not room or report.process == self.process:
            return
        self._last_report[report.room, report.process] = asyncio.get_running_loop().time()
        room.set_remote_users(report.process, report.count if report.users is None else frozenset(report.users))
        if report.again:
            self.report(room)

    def _enqueue(self, room: str, users: Users, *, again: bool = False) -> None:
        _, asked = self._pending.get(room, (None, False))
        self._pending[room] = users, again or asked
        self._has_pending.set()

    async def _send_pending(self) -> None:
        while True:
            await self._has_pending.wait()
            self._has_pending.clear()
            while self._pending:
                room, (users, again) = self._pending.popitem()
                message = self._make_report(room, users, again=again)
                with suppress(UnavailableError):  # the next round reports it again
                    await self._broker.signal(self._topic_of(room), message.encode())

    async def _report_regularly(self) -> None:
        while True:
            # not all processes at the same time
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.2))
            self._drop_silent_processes()
            for room in self._manager.rooms if self._manager else ():
                self.report(room)

    def _drop_silent_processes(self) -> None:
        deadline = asyncio.get_running_loop().time() - SILENT_ROUNDS * self._interval
        for (name, process), reported_at in list(self._last_report.items()):
            if reported_at < deadline:
                del self._last_report[name, process]
                if self._manager and (room := self._manager.room(name)):
                    room.set_remote_users(process, frozenset())

    def _make_report(self, room: str, users: Users, *, again: bool) -> PresenceReport:
        if isinstance(users, int):
            return PresenceReport(room=room, process=self.process, count=users, again=again)
        names = tuple(sorted(users))
        return PresenceReport(room=room, process=self.process, count=len(names), users=names, again=again)
