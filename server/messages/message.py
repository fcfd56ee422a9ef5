"""What every message is: one JSON object in one text frame, whose ``type`` says which model reads it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WrapValidator

from .names import validate_name
from .position import Position

__all__ = ["LONGEST_ECHO", "Error", "Message", "Place", "RoomName"]

LONGEST_ECHO = 64  # characters of a client's own words that an Error repeats


class Message(BaseModel):
    """Base of every message: a JSON object with a `type`, no unknown fields, no NaN, never changed once made.

    A subclass narrows `type` to one word (``type: Literal["say"] = "say"``), so that a union of
    messages can be told apart by it. Values are not converted: the string "7" is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    type: str

    def encode(self) -> str:
        """Return the text to send: compact JSON that every parser reads; fields that are None are left out."""
        return self.model_dump_json(exclude_none=True)


class Error(Message):
    """The answer to a message that could not be used; the connection stays open."""

    type: Literal["error"] = "error"

    field: str | None = None
    """Where the message is wrong, such as ``"text"`` or ``"items.3.price"``; None for the message as a whole."""

    expected: str
    """What would have been right, such as ``"a valid string"``."""

    id: int | str | None = None
    """The `id` of the message that this answers, if it had one."""


RoomName = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$"), WrapValidator(validate_name)]
"""The name of a room: 1 to 64 letters, digits, dots, hyphens or underscores, all of them visible. Unicode's NFC and NFD
of a name are one room, which is called by its NFC."""


def _check_position(position: Position) -> Position:
    """Return a position unchanged, if a broker can have made it."""
    if not 0 < len(position.epoch) <= LONGEST_ECHO or not 0 <= position.offset < 1 << 53:
        raise ValueError("a position that a message of this server had")
    return position


Place = Annotated[Position, AfterValidator(_check_position)]
"""A position in a room or an inbox: ``{"epoch": "…", "offset": 7}``. Keep the last one and come back with it."""
