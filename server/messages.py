"""The wire protocol: what may be said over a connection, and the codes that end one.

Every message is one JSON object in one text frame, and its ``type`` says which model reads it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from .broker import Position
from .names import visible

__all__ = [
    "Ack",
    "Announcement",
    "ChatIn",
    "ChatMessage",
    "CloseCode",
    "Error",
    "Inbox",
    "IsTyping",
    "Join",
    "Joined",
    "Leave",
    "Message",
    "Notification",
    "Place",
    "Presence",
    "Read",
    "Reset",
    "RoomName",
    "Say",
    "Stored",
    "Typing",
    "Watch",
    "Welcome",
    "parse",
]

LONGEST_ECHO = 64  # characters of a client's own words that an Error repeats
OPENINGS = {
    "Input should be ": "",
    "String should have ": "a string with ",
    "String should match ": "a string that matches ",
    "List should have ": "a list with ",
    "Value error, ": "",
}


class CloseCode(IntEnum):
    """Why a connection ended, by name (RFC 6455 section 7.4, the IANA registry, and ours from 4000).

    A close frame carries one code and up to 123 bytes of reason. Three codes never travel: a program
    finds them in its own hands when there was no close frame to take one from.
    """

    NORMAL = 1000
    """The conversation is finished (RFC 6455, 7.4.1). A page may send it."""

    GOING_AWAY = 1001
    """A page that was left, or a server that stops (RFC 6455, 7.4.1)."""

    PROTOCOL_ERROR = 1002
    """The bytes break the protocol: an unmasked client frame, a reserved bit (RFC 6455, 7.4.1)."""

    UNSUPPORTED_DATA = 1003
    """A kind of message that this endpoint does not take, such as binary (RFC 6455, 7.4.1)."""

    NO_STATUS = 1005
    """The close frame named no code. Never travels (RFC 6455, 7.4.1)."""

    ABNORMAL = 1006
    """There was no close frame at all. Never travels (RFC 6455, 7.4.1)."""

    INVALID_DATA = 1007
    """A text frame that is not UTF-8 (RFC 6455, 7.4.1)."""

    POLICY_VIOLATION = 1008
    """A rule was broken for which no better code exists (RFC 6455, 7.4.1)."""

    MESSAGE_TOO_BIG = 1009
    """A message over the receiver's limit (RFC 6455, 7.4.1)."""

    MANDATORY_EXTENSION = 1010
    """A client misses an extension that it cannot do without (RFC 6455, 7.4.1)."""

    INTERNAL_ERROR = 1011
    """The server failed (RFC 6455, 7.4.1)."""

    SERVICE_RESTART = 1012
    """The server restarts: come back after a random delay (IANA registry). What uvicorn sends when it stops."""

    TRY_AGAIN_LATER = 1013
    """The server is overloaded: come back much later (IANA registry)."""

    BAD_GATEWAY = 1014
    """A gateway got a bad answer from the server behind it (IANA registry)."""

    TLS_HANDSHAKE = 1015
    """TLS failed before the handshake. Never travels (RFC 6455, 7.4.1)."""

    AUTH_REQUIRED = 4001
    """Ours: no credentials, or credentials that have expired. Log in, then connect again."""

    KICKED_FOR_SPAM = 4002
    """Ours: more messages than allowed. Wait before you connect again."""

    FORBIDDEN = 4003
    """Ours: known, but not allowed here. Do not connect again."""

    REPLACED = 4004
    """Ours: another device of the same user took the place. Do not connect again by yourself."""

    TOO_SLOW = 4008
    """Ours: the client read too slowly and its outbox was full. Connect again and resume."""

    @property
    def travels(self) -> bool:
        """Whether a close frame may carry this code; 1005, 1006 and 1015 it may not."""
        return self not in (CloseCode.NO_STATUS, CloseCode.ABNORMAL, CloseCode.TLS_HANDSHAKE)

    @property
    def from_browser(self) -> bool:
        """Whether a page may pass this code to its `close`: 1000, and 3000 to 4999."""
        return self == CloseCode.NORMAL or 3000 <= self <= 4999


class Message(BaseModel):
    """Base of every message: a JSON object with a `type`, no unknown fields, no NaN, never changed once made.

    A subclass narrows `type` to one word (``type: Literal["say"] = "say"``), so that a union of
    messages can be told apart by it. Values are not converted: the string "7" is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    type: str

    def encode(self) -> str:
        """The text to send: compact JSON that every JSON parser reads; fields that are None are left out."""
        return self.model_dump_json(exclude_none=True)


class Error(Message):
    """The answer to a message that could not be used; the connection lives on."""

    type: Literal["error"] = "error"

    field: str | None = None
    """Where the message is wrong, such as ``"text"`` or ``"items.3.price"``; None for the message as a whole."""

    expected: str
    """What would have been right, such as ``"a valid string"``."""

    id: int | str | None = None
    """The `id` of the message that this answers, if it had one."""


RoomName = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$"), AfterValidator(visible)]
"""The name of a room: 1 to 64 letters, digits, dots, hyphens or underscores, all of them visible."""


def _check(position: Position) -> Position:
    if not 0 < len(position.epoch) <= LONGEST_ECHO or not 0 <= position.offset < 1 << 53:
        raise ValueError("a position as a message from here had it")
    return position


Place = Annotated[Position, AfterValidator(_check)]
"""A position in a room or an inbox: ``{"epoch": "…", "offset": 7}``. Keep the last one and come back with it."""


class Join(Message):
    """In: let me into this room. Answered with its `Presence` and `Joined`, or an `Error` where it is closed to me.

    Then comes what was missed, then what is said from now on, without a gap or a duplicate in between.
    """

    type: Literal["join"] = "join"
    room: RoomName
    after: Place | None = None
    """The last position that the client has seen: send what came after it."""
    last: Annotated[int, Field(ge=0, le=100)] = 0
    """Without `after`: send the last so many messages."""
    id: int | str | None = None


class Leave(Message):
    """In: take me out of this room."""

    type: Literal["leave"] = "leave"
    room: RoomName
    id: int | str | None = None


class Say(Message):
    """In: say this to everybody in a room that I am in."""

    type: Literal["say"] = "say"
    room: RoomName
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    key: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """An idempotency key of the client's choice: said again with the same key, it is stored once."""
    id: int | str | None = None


class Typing(Message):
    """In: I am typing in this room. Repeat it every few seconds while it is true; there is no "stopped"."""

    type: Literal["typing"] = "typing"
    room: RoomName
    id: int | str | None = None


class Welcome(Message):
    """Out, first of all: who you are on this connection."""

    type: Literal["welcome"] = "welcome"
    user: str
    device: str


class Joined(Message):
    """Out: you are in. The next message of this room comes after `position`."""

    type: Literal["joined"] = "joined"
    room: RoomName
    position: Place
    complete: bool = True
    """False where some of what came after the client's own position is kept no longer."""
    id: int | str | None = None


class Reset(Message):
    """Out: some of this log was lost, such as by an engine that lost its data. Go on after `position`."""

    type: Literal["reset"] = "reset"
    room: RoomName | None = None
    """None: it is the inbox; `Watch` it again to hear what is unread."""
    position: Place


class ChatMessage(Message):
    """Out: somebody said this in a room; the speaker gets it too, with the `id` of the `Say`."""

    type: Literal["message"] = "message"
    room: RoomName
    user: str
    text: str
    position: Place | None = None
    """Where it stands in the room's log; offsets grow by one, so that a gap is visible."""
    time: float | None = None
    """Seconds since 1970 at which it was stored."""
    id: int | str | None = None


class Announcement(Message):
    """Out, to every connection: the teacher of a class says this to all, in whatever room. It is not stored."""

    type: Literal["announcement"] = "announcement"
    text: str


class Stored(Message):
    """Out: what you said again, with the same key, was stored the first time. Nobody hears it again."""

    type: Literal["stored"] = "stored"
    room: RoomName
    position: Place
    id: int | str | None = None


class IsTyping(Message):
    """Out: somebody else is typing; show it for a few seconds. Never stored, and dropped when in doubt."""

    type: Literal["typing"] = "typing"
    room: RoomName
    user: str


class Presence(Message):
    """Out: who is in a room. After a `Join` the snapshot in `users`, then what has changed since.

    In a crowded room only the `count` is told; when it empties again, a new snapshot comes.
    """

    type: Literal["presence"] = "presence"
    room: RoomName
    count: int
    """Users present, each counted once whatever the number of devices."""
    users: tuple[str, ...] | None = None
    """Everybody present; replaces what the client knew."""
    joined: tuple[str, ...] | None = None
    """Users who have come since."""
    left: tuple[str, ...] | None = None
    """Users who have gone since."""


class Watch(Message):
    """In: deliver my inbox on this connection. Answered with its `Inbox`, or an `Error` while its log is away.

    Then comes what was missed, then what is pushed from now on, without a gap or a duplicate in between.
    Watching again starts anew.
    """

    type: Literal["watch"] = "watch"
    after: Place | None = None
    """The last position that the client has kept: send what came after it."""
    last: Annotated[int, Field(ge=0, le=100)] = 0
    """Without `after`: send the last so many notifications."""
    id: int | str | None = None


class Ack(Message):
    """In: I have read everything up to here, on all my devices. Answered with a `Read`; it never goes back."""

    type: Literal["ack"] = "ack"
    position: Place
    id: int | str | None = None


class Inbox(Message):
    """Out: the state of my inbox. The next notification comes after `position`."""

    type: Literal["inbox"] = "inbox"
    position: Place
    complete: bool = True
    """False where some of what came after the client's own position is kept no longer."""
    read: Place | None = None
    """Everything up to here has been read; left out while nothing has."""
    unread: int
    """Notifications after `read` that are kept, up to `newest`."""
    newest: Place
    """What `unread` counts up to: each notification with a greater offset is one more."""
    id: int | str | None = None


class Notification(Message):
    """Out: something that this user should know, once for each position."""

    type: Literal["notification"] = "notification"
    position: Place
    time: float
    """Seconds since 1970 at which it was stored."""
    kind: str
    """What it is about, such as ``"order"``."""
    text: str
    data: JsonValue = None
    """What a program needs to know of it."""
    id: str
    """The idempotency key that it was pushed with, or one that the server made."""


class Read(Message):
    """Out, to every device that watches: everything up to `position` has been read on one of them."""

    type: Literal["read"] = "read"
    position: Place
    unread: int
    """Notifications after `position`, up to `newest`."""
    newest: Place


ChatIn: TypeAdapter[Join | Leave | Say | Typing | Watch | Ack] = TypeAdapter(
    Annotated[Join | Leave | Say | Typing | Watch | Ack, Field(discriminator="type")]
)
"""Reads whatever a client of the chat may say; pass it to `parse`."""


M = TypeVar("M", bound=Message)


def parse(text: str, model: type[M] | TypeAdapter[M]) -> M | Error:
    """Read one message, or say in an `Error` which field is wrong and what was expected there.

    `model` is a `Message` or, to choose among several by their ``type``, an adapter:
    ``TypeAdapter(Annotated[Join | Say, Field(discriminator="type")])``. Whatever the text holds (broken
    JSON, NaN, a thousand nested lists, numbers of any length), nothing is raised.
    """
    adapter = model if isinstance(model, TypeAdapter) else _adapter(model)
    try:
        data = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Error(expected=_json_expected(text, str(error)))
    if not isinstance(data, dict):
        return Error(expected='a JSON object, such as {"type": …}')
    if "type" not in data:
        return Error(field="type", expected="a value, the field is missing", id=_id(data))
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        # the first is enough: a client mends one field at a time
        detail = error.errors(include_url=False, include_input=False)[0]
        return Error(field=_field(detail, adapter), expected=_expected(detail), id=_id(data))


@lru_cache
def _adapter(model: type[M]) -> TypeAdapter[M]:
    return TypeAdapter(model)


def _json_expected(text: str, problem: str) -> str:
    try:
        from_json(text)
    except ValueError:
        return f"JSON, but: {problem}"
    return f"finite numbers, JSON has no NaN or Infinity: {problem}"


def _field(detail: ErrorDetails, adapter: TypeAdapter[Any]) -> str | None:
    path = [str(step) for step in detail["loc"]]
    if detail["type"].startswith("union_tag"):
        path = ["type"]
    elif _is_union(adapter):
        path = path[1:]  # pydantic puts the union's tag first
    # an unknown field has a name that the client made up, of any length
    return ".".join(path)[:LONGEST_ECHO] or None


def _is_union(adapter: TypeAdapter[Any]) -> bool:
    schema: Any = adapter.core_schema
    while schema["type"] == "definitions":
        schema = schema["schema"]
    return bool(schema["type"] == "tagged-union")


def _expected(detail: ErrorDetails) -> str:
    """What pydantic expected, as the end of a sentence that begins with "expected"."""
    match detail["type"]:
        case "missing":
            return "a value, the field is missing"
        case "extra_forbidden":
            return "no such field"
        case "union_tag_invalid":
            return f"one of {detail['ctx']['expected_tags']}"
    for opening, ours in OPENINGS.items():
        if detail["msg"].startswith(opening):
            return ours + detail["msg"].removeprefix(opening)
    return detail["msg"]


def _id(data: dict[str, Any]) -> int | str | None:
    value = data.get("id")
    return value if type(value) is int or (isinstance(value, str) and len(value) <= LONGEST_ECHO) else None
