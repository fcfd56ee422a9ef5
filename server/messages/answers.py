"""Messages about a streamed answer: what a client sends to ``/answers``, and the pieces that come back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter, WrapValidator

from .incoming import Ping
from .message import Message, Place
from .names import validate_name

__all__ = [
    "Answer",
    "AnswerEnd",
    "AnswerFailed",
    "AnswerName",
    "AnswerText",
    "AnswerToolCall",
    "AnswersIn",
    "Ask",
    "Resume",
    "Stop",
]

AnswerName = Annotated[str, Field(pattern=r"^[\w.:-]{1,64}$"), WrapValidator(validate_name)]
"""The name of an answer, chosen by the client that asks: 1 to 64 letters, digits, dots, colons, hyphens or underscores.
Each user has names of their own."""

Prompt = Annotated[str, Field(min_length=1, max_length=2_000)]


class Ask(Message):
    """Ask the model, and read its answer. The reply is an `Answer`; then come its pieces.

    If an answer of this name exists, it is read from the beginning and the model isn't asked again. So a second tab
    may ask, and so may a client that doesn't know whether its first `Ask` arrived.
    """

    type: Literal["ask"] = "ask"
    answer: AnswerName
    prompt: Prompt
    id: int | str | None = None


class Resume(Message):
    """Read an answer that exists. The reply is an `Answer`; then come its pieces, without a gap or a duplicate."""

    type: Literal["resume"] = "resume"
    answer: AnswerName
    after: Place | None = None
    """The last position that the client has seen; without it, the answer is read from the beginning."""
    id: int | str | None = None


class Stop(Message):
    """Stop the model. The answer ends with an `AnswerEnd` for everybody who reads it."""

    type: Literal["stop"] = "stop"
    answer: AnswerName
    id: int | str | None = None


AnswersIn: TypeAdapter[Ask | Resume | Stop | Ping] = TypeAdapter(
    Annotated[Ask | Resume | Stop | Ping, Field(discriminator="type")]
)
"""Any message that a client may send to ``/answers``; pass it to `parse`."""


class Answer(Message):
    """The client reads an answer. The pieces after `position` follow; the last is an `AnswerEnd` or `AnswerFailed`."""

    type: Literal["answer"] = "answer"
    answer: AnswerName
    prompt: str
    position: Place
    id: int | str | None = None


class AnswerText(Message):
    """The next text of an answer: one token, or as many as have come since this client last took one."""

    type: Literal["text"] = "text"
    answer: AnswerName
    text: str
    position: Place | None = None
    """Resume after it, and the text goes on right here."""


class AnswerToolCall(Message):
    """The model calls a tool, and will use what the tool returns."""

    type: Literal["tool_call"] = "tool_call"
    answer: AnswerName
    name: str
    arguments: dict[str, JsonValue]
    position: Place | None = None


class AnswerFailed(Message):
    """The last piece of an answer that went wrong. What came before it stays valid."""

    type: Literal["failed"] = "failed"
    answer: AnswerName
    reason: Literal["interrupted", "model", "budget"]
    """``interrupted``: the server that asked the model has ended, or the log was lost. ``model``: the model failed.
    ``budget``: the user has no tokens left for today."""
    position: Place | None = None


class AnswerEnd(Message):
    """The last piece of an answer."""

    type: Literal["end"] = "end"
    answer: AnswerName
    reason: Literal["complete", "stopped", "left", "length"]
    """``complete``: the model has said all. ``stopped``: somebody sent a `Stop`. ``left``: nobody was reading.
    ``length``: the longest answer that is allowed."""
    position: Place | None = None
