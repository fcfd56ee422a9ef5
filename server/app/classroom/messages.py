"""The messages between the teacher's page and the server over ``/teacher/ws``; a field that is None is sent as null."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, TypeAdapter

from ...messages import Message

__all__ = [
    "COMMAND",
    "Broadcast",
    "ClassState",
    "Cut",
    "Ending",
    "Kick",
    "Lessons",
    "OutboxLimits",
    "Slow",
    "StudentState",
    "Teacher",
]

Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
Lessons = Annotated[
    dict[Name, Annotated[dict[Name, bool], Field(max_length=100)]],
    Field(max_length=20),
]
"""What a student has done so far: lesson, check, whether it passes."""


class Teacher(Message):
    """In, the first message: the key that the server has printed."""

    type: Literal["teacher"] = "teacher"
    key: Annotated[str, Field(max_length=200)]


class Broadcast(Message):
    """In: send this to every connection as an `Announcement`."""

    type: Literal["broadcast"] = "broadcast"
    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class Kick(Message):
    """In: close this connection with 4003; a page doesn't reconnect by itself."""

    type: Literal["kick"] = "kick"
    id: int


class Slow(Message):
    """In: send this connection at most this many bytes a second; None removes the limit."""

    type: Literal["slow"] = "slow"
    id: int
    bytes_per_second: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class Cut(Message):
    """In: abort this connection without a close frame; the client sees 1006, and reconnects by itself."""

    type: Literal["cut"] = "cut"
    id: int


COMMAND: TypeAdapter[Broadcast | Kick | Slow | Cut] = TypeAdapter(
    Annotated[Broadcast | Kick | Slow | Cut, Field(discriminator="type")]
)
"""Parses any command of the teacher."""


class StudentState(BaseModel):
    """One connection, as it is now."""

    model_config = ConfigDict(frozen=True)

    id: int
    """The number of the connection, from 1; a client that reconnects gets a new one."""
    user: str
    device: str
    rooms: tuple[str, ...]
    waiting: int
    """Messages in its outbox."""
    bytes: int
    """Bytes of these messages, as UTF-8."""
    lag: float
    """Seconds since a teacher's page first showed the oldest of these waiting; 0 if none is."""
    sent: int
    """Messages handed to the network."""
    dropped: int
    """Messages that were dropped before it got them."""
    slow: int | None
    """The teacher's limit for it, in bytes per second."""
    progress: SkipValidation[Lessons | None]
    """What its user has shared, if anything; validated when it arrived."""


class Ending(BaseModel):
    """How a connection ended."""

    model_config = ConfigDict(frozen=True)

    user: str
    code: int
    reason: str
    at: float
    """Seconds since 1970."""


class OutboxLimits(BaseModel):
    """The limits of one outbox; a connection that exceeds them is closed with 4008."""

    model_config = ConfigDict(frozen=True)

    messages: int
    bytes: int


class ClassState(Message):
    """Out, twice a second: every connection, in the order in which they joined, and the last ones that ended."""

    type: Literal["class"] = "class"
    join: str
    """The address that students open."""
    limits: OutboxLimits
    students: tuple[StudentState, ...]
    ended: tuple[Ending, ...]

    def encode(self) -> str:
        """Return the JSON to send, with every field, because the page draws a table."""
        return self.model_dump_json()
