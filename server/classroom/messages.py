"""What the teacher's page and the server say to each other over ``/teacher/ws``; fields that are None are null."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, TypeAdapter

from ..messages import Message

__all__ = [
    "ORDER",
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
"""What somebody has done: lesson, check, whether it passes."""


class Teacher(Message):
    """In, first of all: I am the teacher, and this is the key that the server has printed."""

    type: Literal["teacher"] = "teacher"
    key: Annotated[str, Field(max_length=200)]


class Broadcast(Message):
    """In: tell this to every connection; they hear an `Announcement`."""

    type: Literal["broadcast"] = "broadcast"
    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class Kick(Message):
    """In: send this connection out, with 4002; a page does not come back by itself."""

    type: Literal["kick"] = "kick"
    id: int


class Slow(Message):
    """In: send this connection no more than so many bytes a second; None: as many as it reads."""

    type: Literal["slow"] = "slow"
    id: int
    bytes_per_second: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class Cut(Message):
    """In: take this connection's socket away without a goodbye; the client sees 1006, and comes back by itself."""

    type: Literal["cut"] = "cut"
    id: int


ORDER: TypeAdapter[Broadcast | Kick | Slow | Cut] = TypeAdapter(
    Annotated[Broadcast | Kick | Slow | Cut, Field(discriminator="type")]
)
"""Reads whatever a teacher may ask for."""


class StudentState(BaseModel):
    """One connection, as it is now."""

    model_config = ConfigDict(frozen=True)

    id: int
    """The number of the connection, from 1 on; who comes back gets a new one."""
    user: str
    device: str
    rooms: tuple[str, ...]
    waiting: int
    """Messages in its outbox."""
    bytes: int
    """Bytes of these, as UTF-8."""
    lag: float
    """Seconds since somebody first saw the oldest of these wait; 0 where none waits."""
    sent: int
    """Messages handed to the network."""
    dropped: int
    """Messages that it will never get."""
    slow: int | None
    """Bytes per second that the teacher allows it."""
    progress: SkipValidation[Lessons | None]
    """What its user has shared, if anything; it has been validated when it came."""


class Ending(BaseModel):
    """How a connection ended."""

    model_config = ConfigDict(frozen=True)

    user: str
    code: int
    reason: str
    at: float
    """Seconds since 1970."""


class OutboxLimits(BaseModel):
    """What one outbox may hold; a connection with more is closed with 4008."""

    model_config = ConfigDict(frozen=True)

    messages: int
    bytes: int


class ClassState(Message):
    """Out, again and again: all who are connected, in the order of their coming, and who was, the last one last."""

    type: Literal["class"] = "class"
    join: str
    """The address that students open."""
    limits: OutboxLimits
    students: tuple[StudentState, ...]
    ended: tuple[Ending, ...]

    def encode(self) -> str:
        """The text to send; a page that draws a table likes every field to be there."""
        return self.model_dump_json()
