"""Messages that the server sends."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from .message import Message, Place, RoomName

__all__ = [
    "Announcement",
    "ChatMessage",
    "Inbox",
    "IsTyping",
    "Joined",
    "Notification",
    "Pong",
    "Presence",
    "Read",
    "Reset",
    "Stored",
    "Welcome",
]


class Welcome(Message):
    """The first message: the user and device of this connection."""

    type: Literal["welcome"] = "welcome"
    user: str
    device: str


class Joined(Message):
    """The client has joined a room. The next message of this room comes after `position`."""

    type: Literal["joined"] = "joined"
    room: RoomName
    position: Place
    complete: bool = True
    """False if some of what came after the client's position is no longer stored."""
    id: int | str | None = None


class Reset(Message):
    """A part of this log can't be read or was lost, for example because an engine lost its data.

    Go on after `position`.
    """

    type: Literal["reset"] = "reset"
    room: RoomName | None = None
    """None for the inbox: `Watch` it again, after `position`, to get the number of unread notifications."""
    position: Place


class ChatMessage(Message):
    """A text that somebody sent to a room; the sender gets it too, with the `id` of the `Say`."""

    type: Literal["message"] = "message"
    room: RoomName
    user: str
    text: str
    position: Place | None = None
    """Its position in the room's log; offsets grow by one, so that a gap is visible."""
    time: float | None = None
    """Seconds since 1970 at which it was stored."""
    id: int | str | None = None


class Announcement(Message):
    """A text from the teacher of a class to every connection, in any room. It is not stored."""

    type: Literal["announcement"] = "announcement"
    text: str


class Stored(Message):
    """A text that was sent again with the same key was stored the first time, and is not sent to anybody again."""

    type: Literal["stored"] = "stored"
    room: RoomName
    position: Place
    id: int | str | None = None


class IsTyping(Message):
    """Somebody else is typing; show it for a few seconds. It is not stored, and may be dropped."""

    type: Literal["typing"] = "typing"
    room: RoomName
    user: str


class Presence(Message):
    """Who is in a room: after a `Join` a snapshot in `users`, then the changes.

    In a crowded room there is only the `count`; when it gets emptier, a new snapshot comes.
    """

    type: Literal["presence"] = "presence"
    room: RoomName
    count: int
    """The number of users present; a user with several devices is counted once."""
    users: tuple[str, ...] | None = None
    """Everybody present; replaces what the client knew."""
    joined: tuple[str, ...] | None = None
    """Users who have joined since."""
    left: tuple[str, ...] | None = None
    """Users who have left since."""


class Inbox(Message):
    """The state of the user's inbox. The next notification comes after `position`."""

    type: Literal["inbox"] = "inbox"
    position: Place
    complete: bool = True
    """False if some of what came after the client's position is no longer stored."""
    read: Place | None = None
    """Everything up to here has been read; left out if nothing has."""
    unread: int
    """Stored notifications after `read`, up to `newest`."""
    newest: Place
    """The last position that `unread` counts; each notification with a greater offset is one more."""
    id: int | str | None = None


class Notification(Message):
    """Something that the user should know. Each position comes once."""

    type: Literal["notification"] = "notification"
    position: Place
    time: float
    """Seconds since 1970 at which it was stored."""
    kind: str
    """What it is about, such as ``"order"``."""
    text: str
    data: JsonValue = None
    """Details for a program; lists and objects are nested at most 50 deep."""
    id: str
    """The idempotency key that it was pushed with, or one made by the server."""


class Read(Message):
    """Everything up to `position` has been read on one of the user's devices; sent to each that watches."""

    type: Literal["read"] = "read"
    position: Place
    unread: int
    """Notifications after `position`, up to `newest`."""
    newest: Place


class Pong(Message):
    """The answer to a `Ping`. It comes after everything that was sent before it."""

    type: Literal["pong"] = "pong"
    id: int | str | None = None
