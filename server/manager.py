"""Who is online: users, their devices, each device's connections, and the rooms they are in (lesson 03).

The well-known tutorial manager is a list of sockets, and a broadcast awaits each of them in turn: one
peer that is gone raises in somebody else's handler, one that stops reading stops everybody. Here
nothing waits for a peer. A connection is entered with its outbox, and delivering means to put a
message there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from .broadcasting import Batch, Prepared
from .errors import ServerError
from .messages import CloseCode, Message
from .room import Room, Schedule

__all__ = ["Connection", "FullError", "Mailbox", "Manager", "ManagerStatistics"]


class FullError(ServerError):
    """The server holds as many connections as it may; try again later."""


class Mailbox(Protocol):
    """Where a connection's messages go, such as an `Outbox`."""

    async def drained(self) -> None:
        """Wait until nothing waits, or the connection is over."""

    def put(self, message: str | Prepared) -> None:
        """Take a ready-made message; never waits and never raises."""

    def deliver_all(self, batch: Batch) -> None:
        """Take ready-made messages; never waits and never raises."""

    def end(self, code: CloseCode, reason: str) -> None:
        """Have the connection closed; never waits and never raises."""


class Connection:
    """One registered connection. Made by `Manager.register`, compared by identity."""

    __slots__ = ("_outbox", "device", "rooms", "user")

    def __init__(self, user: str, device: str, outbox: Mailbox) -> None:
        self.user = user
        self.device = device
        self.rooms: dict[str, Room] = {}
        self._outbox = outbox

    def deliver(self, message: str | Prepared) -> None:
        """Put a ready-made message into the outbox; never waits and never raises."""
        self._outbox.put(message)

    def deliver_all(self, batch: Batch) -> None:
        """Put ready-made messages into the outbox, in this order; never waits and never raises."""
        self._outbox.deliver_all(batch)

    async def drained(self) -> None:
        """Wait until the outbox is empty, or the connection is over."""
        await self._outbox.drained()

    def send(self, message: Message) -> None:
        """Put a message into the outbox; never waits and never raises."""
        self._outbox.put(message.encode())

    def end(self, code: CloseCode, reason: str) -> None:
        """Have the connection closed with this code; what is still in the outbox is dropped."""
        self._outbox.end(code, reason)

    def __repr__(self) -> str:
        return f"<Connection {self.user!r} on {self.device!r}>"


@dataclass(frozen=True, kw_only=True)
class ManagerStatistics:
    """What a manager holds at one moment."""

    connections: int
    """Registered connections."""
    users: int
    """Users with at least one connection."""
    rooms: int
    """Rooms with somebody present, or leaving within the grace time."""


class Manager:
    """Keeps the connections of this process, by user and device, and the rooms.

    Every method runs on the loop's thread and is synchronous, so no other handler can see a half-made
    change. `register`, `join`, `leave` and their undoing cost the same whatever the number of members;
    sending costs one call for each receiver.
    """

    def __init__(
        self,
        *,
        connections: int = 10_000,
        devices_per_user: int = 5,
        connections_per_user: int = 20,
        grace: float = 5.0,
        interval: float = 0.1,
        crowd: int = 200,
        schedule: Schedule | None = None,
        on_change: Callable[[Room], None] = lambda room: None,
    ) -> None:
        """Make an empty manager.

        Args:
            connections: how many may be registered at once.
            devices_per_user: one more, and the user's oldest device is closed with 4004.
            connections_per_user: one more, and the user's oldest connection is closed with 4004.
            grace: seconds that a user stays present in a room after the last connection was lost.
            interval: seconds during which presence changes are collected before members are told.
            crowd: users up to which a room's presence tells names; above it, their number only.
            schedule: the clock, by default that of the running loop.
            on_change: called when other users than before are present in a room of this process.
        """
        self._most = connections
        self._devices_per_user = devices_per_user
        self._connections_per_user = connections_per_user
        self._room_options: dict[str, Any] = {
            "grace": grace,
            "interval": interval,
            "limit": crowd,
            "schedule": schedule,
            "on_change": on_change,
        }
        self._users: dict[str, dict[Connection, None]] = {}  # dicts keep the order of arrival
        self._count = 0
        self._rooms: dict[str, Room] = {}

    # who is here

    @property
    def users(self) -> tuple[str, ...]:
        """Users with at least one connection, in the order of their coming."""
        return tuple(self._users)

    def connections(self, user: str) -> tuple[Connection, ...]:
        """The connections of one user, oldest first."""
        return tuple(self._users.get(user, ()))

    def devices(self, user: str) -> tuple[str, ...]:
        """The devices of one user, in the order of their coming."""
        return tuple(dict.fromkeys(connection.device for connection in self._users.get(user, ())))

    @property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms where somebody of this process is present."""
        return tuple(self._rooms.values())

    def room(self, name: str) -> Room | None:
        """The room of this name, or None where nobody is present."""
        return self._rooms.get(name)

    def statistics(self) -> ManagerStatistics:
        """Count what is held now."""
        return ManagerStatistics(connections=self._count, users=len(self._users), rooms=len(self._rooms))

    # coming and going

    @asynccontextmanager
    async def register(self, user: str, device: str, outbox: Mailbox) -> AsyncIterator[Connection]:
        """Keep a connection for the length of the block; whatever way leads out, nothing of it is left.

        A user with too many devices or connections loses the oldest, which is closed with 4004.

        Raises:
            FullError: the server holds as many connections as it may.
        """
        if self._count >= self._most:
            raise FullError(f"{self._count} connections are open, the most allowed; raise the limit or add a server")
        connection = Connection(user, device, outbox)
        self._users.setdefault(user, {})[connection] = None
        self._count += 1
        self._make_room_for(connection)
        try:
            yield connection
        finally:
            self._forget(connection)

    def join(self, connection: Connection, name: str) -> None:
        """Let a connection into a room: it gets the room's presence, and the members hear of a new user.

        A connection that has been replaced meanwhile is left out. Joining again gives a new snapshot.
        """
        if connection not in self._users.get(connection.user, ()):
            return
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, on_empty=lambda: self._drop(name), **self._room_options)
        connection.rooms[name] = room
        room.add(connection)

    def leave(self, connection: Connection, name: str) -> None:
        """Take a connection out of a room at once, without the grace time of one that was lost.

        Harmless for a room that it is not in.
        """
        if (room := connection.rooms.pop(name, None)) is not None:
            room.remove(connection, at_once=True)

    def close(self) -> None:
        """Call off every timer and drop every room; for a server that stops, and may start again."""
        for room in self._rooms.values():
            room.close()
        self._rooms.clear()

    # sending

    def to_user(self, user: str, message: Message) -> int:
        """Send to every connection of one user; how many there were."""
        text = message.encode()
        connections = self._users.get(user, {})
        for connection in connections:
            connection.deliver(text)
        return len(connections)

    def to_room(self, name: str, message: Message) -> int:
        """Send to every connection in one room; how many there were."""
        room = self._rooms.get(name)
        return room.deliver(message.encode()) if room is not None else 0

    def to_all(self, message: Message) -> int:
        """Send to every connection of this process; how many there were."""
        text = message.encode()
        for connections in self._users.values():
            for connection in connections:
                connection.deliver(text)
        return self._count

    def _drop(self, name: str) -> None:
        # after `close` it is gone already, or another of this name is there
        if (room := self._rooms.get(name)) is not None and not room.users_here:
            del self._rooms[name]

    def _make_room_for(self, newcomer: Connection) -> None:
        user = newcomer.user
        if len(devices := self.devices(user)) > self._devices_per_user:
            oldest = next(device for device in devices if device != newcomer.device)
            for connection in [one for one in self._users[user] if one.device == oldest]:
                self._replace(connection, f"more than {self._devices_per_user} devices")
        elif len(self._users[user]) > self._connections_per_user:
            self._replace(next(iter(self._users[user])), f"more than {self._connections_per_user} connections")

    def _replace(self, connection: Connection, reason: str) -> None:
        self._forget(connection)
        connection.end(CloseCode.REPLACED, reason)

    def _forget(self, connection: Connection) -> None:
        """Undo `register` and every `join`; harmless when it has been done already."""
        mine = self._users.get(connection.user, {})
        if connection not in mine:
            return
        del mine[connection]
        self._count -= 1
        if not mine:
            del self._users[connection.user]
        while connection.rooms:
            _, room = connection.rooms.popitem()
            room.remove(connection)
