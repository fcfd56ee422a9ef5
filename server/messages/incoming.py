"""Messages that a client sends."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from .message import Message, Place, RoomName

__all__ = ["Ack", "ChatIn", "Join", "Leave", "Ping", "Say", "Typing", "Watch"]


class Join(Message):
    """Join a room. The answer is its `Presence` and `Joined`, or an `Error` if the user may not join it.

    Then come the messages that the client has missed, then every new one, without a gap or a duplicate in between.
    """

    type: Literal["join"] = "join"
    room: RoomName
    after: Place | None = None
    """The last position that the client has seen; the messages after it are sent."""
    last: Annotated[int, Field(ge=0, le=100)] = 0
    """Without `after`: how many of the last messages are sent."""
    id: int | str | None = None


class Leave(Message):
    """Leave a room."""

    type: Literal["leave"] = "leave"
    room: RoomName
    id: int | str | None = None


class Say(Message):
    """Send a text to everybody in a room that the client has joined."""

    type: Literal["say"] = "say"
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    key: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """An idempotency key of the client's choice: a text that is sent again with the same key is stored once."""
    id: int | str | None = None


class Typing(Message):
    """Tell a room that the user is typing. Repeat it every few seconds while it is true; there is no "stopped"."""

    type: Literal["typing"] = "typing"
    room: RoomName
    id: int | str | None = None


class Watch(Message):
    """Subscribe to the user's inbox. The answer is an `Inbox`, or an `Error` while its log can't be reached.

    Then come the notifications that the client has missed, then every new one, without a gap or a duplicate in
    between. Another `Watch` starts again.
    """

    type: Literal["watch"] = "watch"
    after: Place | None = None
    """The last position that the client has kept; the notifications after it are sent."""
    last: Annotated[int, Field(ge=0, le=100)] = 0
    """Without `after`: how many of the last notifications are sent."""
    id: int | str | None = None


class Ack(Message):
    """Mark everything up to a position as read, on all the user's devices. The answer is a `Read`.

    An older position changes nothing.
    """

    type: Literal["ack"] = "ack"
    position: Place
    id: int | str | None = None


class Ping(Message):
    """Ask whether the server is still there. The answer is a `Pong`.

    A page can't send the protocol's own pings, and can't see the server's. If nothing has come for 20 seconds, it
    sends this one, and reconnects if nothing comes within another 10.
    """

    type: Literal["ping"] = "ping"
    id: int | str | None = None


ChatIn: TypeAdapter[Join | Leave | Say | Typing | Watch | Ack | Ping] = TypeAdapter(
    Annotated[Join | Leave | Say | Typing | Watch | Ack | Ping, Field(discriminator="type")]
)
"""Any message that a client of the chat may send; pass it to `parse`."""
