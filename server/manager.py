"""Who is online: users, their devices, each device's connections, and the rooms they are in (lesson 03).

The well-known tutorial manager is a list of sockets, and a broadcast awaits each of them in turn. One peer that is
gone raises in somebody else's handler; one that stops reading stops everybody. Here nothing waits for a peer. A
connection is registered with its outbox, and sending means putting a message there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .errors import ServerError
from .messages import CloseCode, Message
from .room import Room, Schedule
from .wire.prepared import Prepared
from .wire.sink import ClosableSink

__all__ = ["Connection", "FullError", "Manager", "ManagerStatistics"]


class FullError(ServerError):
    """The server has as many connections as it may have; try again later."""


class Connection:
    """One registered connection, made by `Manager.register` and compared by identity."""

    __slots__ = ("_outbox", "device", "rooms", "send_many_nowait", "send_nowait", "user")

    def __init__(self, user: str, device: str, outbox: ClosableSink) -> None:
        self.user = user
        self.device = device
        self.rooms: dict[str, Room] = {}
        self._outbox = outbox
        # the outbox's own methods: every message of a room passes here once for each member
        self.send_nowait = outbox.send_nowait
        self.send_many_nowait = outbox.send_many_nowait

    async def drained(self) -> None:
        """Wait until the outbox is empty, or the connection has ended."""
        await self._outbox.drained()

    def send(self, message: Message) -> None:
        """Encode and queue a message."""
        self._outbox.send_nowait(Prepared(message.encode()))

    def end(self, code: CloseCode, reason: str) -> None:
        """Close the connection with this code and reason; drop what is in the outbox."""
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
    """Rooms with a user present, who may have left within the grace time."""


class Manager:
    """The connections of this process, by user and device, and the rooms.

    Every method runs on the loop's thread and is synchronous, so no other handler can see half a change.
    `register`, `join` and `leave` cost the same whatever the number of members; sending costs one call for each
    receiver.
    """

    def __init__(
        self,
        *,
        connections: int = 10_000,
        devices_per_user: int = 5,
        connections_per_user: int = 40,
        grace: float = 5.0,
        interval: float = 0.1,
        crowd: int = 200,
        schedule: Schedule | None = None,
        on_change: Callable[[Room], None] = lambda room: None,
    ) -> None:
        """Make an empty manager.

        Args:
            connections: how many may be registered at once.
            devices_per_user: with one more, the user's oldest device is closed with 4004.
            connections_per_user: with one more, the user's oldest connection is closed with 4004.
            grace: seconds that a user stays present in a room after the last connection was lost.
            interval: seconds during which presence changes are collected before they are announced.
            crowd: users up to which a room's presence has names; above it, only their number.
            schedule: the clock, by default the running loop's.
            on_change: called after a change of the users of this process in a room was announced.
        """
        self._max_connections = connections
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

    # who is online

    @property
    def users(self) -> tuple[str, ...]:
        """Users with at least one connection, in the order in which they connected."""
        return tuple(self._users)

    def connections(self, user: str) -> tuple[Connection, ...]:
        """Return the connections of one user, oldest first."""
        return tuple(self._users.get(user, ()))

    def devices(self, user: str) -> tuple[str, ...]:
        """Return the devices of one user, in the order in which they connected."""
        return tuple(dict.fromkeys(connection.device for connection in self._users.get(user, ())))

    @property
    def rooms(self) -> tuple[Room, ...]:
        """The rooms in which a user of this process is present."""
        return tuple(self._rooms.values())

    def room(self, name: str) -> Room | None:
        """Return the room of this name, or None if no user of this process is present in it."""
        return self._rooms.get(name)

    def statistics(self) -> ManagerStatistics:
        """Count connections, users and rooms."""
        return ManagerStatistics(connections=self._count, users=len(self._users), rooms=len(self._rooms))

    # connecting, joining and leaving

    @asynccontextmanager
    async def register(self, user: str, device: str, outbox: ClosableSink) -> AsyncIterator[Connection]:
        """Register a connection for the length of the block; remove everything of it, however the block ends.

        A user with too many devices or connections loses the oldest, which is closed with 4004.

        Raises:
            FullError: the server has as many connections as it may have.
        """
        if self._count >= self._max_connections:
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
        """Add a connection to a room: it is sent the room's presence, and a new user is announced to the members.

        Do nothing for a connection that has been replaced meanwhile. Joining again sends a new snapshot.
        """
        if connection not in self._users.get(connection.user, ()):
            return
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, on_empty=lambda: self._drop(name), **self._room_options)
        connection.rooms[name] = room
        room.add(connection)

    def leave(self, connection: Connection, name: str) -> None:
        """Remove a connection from a room at once, without the grace time of a connection that was lost.

        Do nothing if it is not in the room.
        """
        if (room := connection.rooms.pop(name, None)) is not None:
            room.remove(connection, at_once=True)

    def close(self) -> None:
        """Cancel every timer and drop every room, because the server stops; it may start again."""
        for room in self._rooms.values():
            room.close()
        self._rooms.clear()

    # sending

    def to_user(self, user: str, message: Message) -> int:
        """Send to every connection of one user; return their number."""
        prepared = Prepared(message.encode())
        connections = self._users.get(user, {})
        for connection in connections:
            connection.send_nowait(prepared)
        return len(connections)

    def to_room(self, name: str, message: Message) -> int:
        """Send to every connection in one room; return their number."""
        room = self._rooms.get(name)
        return room.send_nowait(Prepared(message.encode())) if room is not None else 0

    def to_all(self, message: Message) -> int:
        """Send to every connection of this process; return their number."""
        prepared = Prepared(message.encode())
        for connections in self._users.values():
            for connection in connections:
                connection.send_nowait(prepared)
        return self._count

    def _drop(self, name: str) -> None:
        # after `close` it is gone already, or there is a new one of this name
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
        """Undo `register` and every `join`; do nothing if that is done already."""
        connections = self._users.get(connection.user, {})
        if connection not in connections:
            return
        del connections[connection]
        self._count -= 1
        if not connections:
            del self._users[connection.user]
        while connection.rooms:
            _, room = connection.rooms.popitem()
            room.remove(connection)
