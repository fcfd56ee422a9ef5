"""What the log of an answer holds, and the signals between who generates it and who reads it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from ...broker import Record
from ...messages import AnswerEnd, AnswerFailed, AnswerText, AnswerToolCall, Message

__all__ = [
    "BEGUN",
    "END",
    "Alive",
    "Begun",
    "Left",
    "Reading",
    "Stopped",
    "Stored",
    "answer_topic",
    "is_last",
    "parse_record",
    "parse_signal",
]

BEGUN, END = "begun", "end"  # idempotency keys: an answer begins once, and ends once


class Begun(Message):
    """The first record: somebody has asked, and the process with this generator asks the model."""

    type: Literal["begun"] = "begun"
    prompt: str
    generator: str


Stored = AnswerText | AnswerToolCall | AnswerFailed | AnswerEnd
"""The records that follow."""


class Reading(Message):
    """A process has readers of this answer; repeated as long as that is so."""

    type: Literal["reading"] = "reading"
    reader: str


class Left(Message):
    """A process has no more readers of this answer."""

    type: Literal["left"] = "left"
    reader: str
    lost: bool
    """Whether a connection was lost, so that its reader may come back."""


class Stopped(Message):
    """A reader says stop."""

    type: Literal["stopped"] = "stopped"


class Alive(Message):
    """The process that asks the model is running; repeated until the answer ends."""

    type: Literal["alive"] = "alive"


_RECORD: TypeAdapter[Begun | Stored] = TypeAdapter(Annotated[Begun | Stored, Field(discriminator="type")])
_SIGNAL: TypeAdapter[Reading | Left | Stopped | Alive] = TypeAdapter(
    Annotated[Reading | Left | Stopped | Alive, Field(discriminator="type")]
)


def answer_topic(user: str, answer: str) -> str:
    """Return the broker's topic for an answer; a hash, because a user and a name may have any length."""
    return f"answer:{hashlib.sha256(json.dumps([user, answer]).encode()).hexdigest()}"


def parse_record(record: Record) -> Begun | Stored:
    """Return what a record holds, with its position.

    Raises:
        ValueError: it isn't a record of an answer.
    """
    found = _RECORD.validate_json(record.payload)
    return found if isinstance(found, Begun) else found.model_copy(update={"position": record.position})


def parse_signal(payload: str) -> Reading | Left | Stopped | Alive:
    """Return a signal.

    Raises:
        ValueError: it isn't one.
    """
    return _SIGNAL.validate_json(payload)


def is_last(piece: Message) -> bool:
    """Return whether nothing comes after this piece."""
    return isinstance(piece, AnswerEnd | AnswerFailed)
