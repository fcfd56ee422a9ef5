"""Decode what any version of the server sends, and build messages from whatever a caller passes."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from ..messages import (
    Announcement,
    ChatMessage,
    Error,
    Inbox,
    Joined,
    Message,
    Notification,
    Position,
    Read,
    Reset,
    Stored,
    Welcome,
)
from ..messages.shorten import shorten
from .arguments import has_half_character
from .errors import ClientError, RefusedError

__all__ = ["Incoming", "build", "decode"]

M = TypeVar("M", bound=Message)

Incoming = Announcement | ChatMessage | Error | Inbox | Joined | Notification | Read | Reset | Stored | Welcome
"""What a client acts on; it ignores everything else."""

_INCOMING: TypeAdapter[Incoming] = TypeAdapter(Annotated[Incoming, Field(discriminator="type")])

SHOWN = 100  # characters of a message that an error repeats


def decode(text: str) -> Incoming | None:
    """Return the message; None if it is of a type that this client ignores, or no message at all.

    Unknown fields are left out, because a newer server may have more.

    Raises:
        ClientError: a known type lacks a field, or has a wrong one.
    """
    try:
        return _INCOMING.validate_json(text, extra="ignore")
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        if not detail["loc"]:  # no JSON object, or its type is unknown
            return None
        kind, *field = map(str, detail["loc"])
        raise ClientError(
            f"{shorten(text, SHOWN)!r} is not a valid {kind!r} message: {'.'.join(field)}: {detail['msg'].lower()}; "
            "is the server of the same version?"
        ) from None


def build(model: type[M], **fields: Any) -> M:
    """Return a message to send.

    Raises:
        RefusedError: a field has a value that no server accepts.
    """
    for field, value in fields.items():
        if isinstance(value, Position) and not _is_sound(value):  # pydantic accepts an instance as it is
            raise RefusedError(f"this cannot be sent: {field}: pass a position that came with a message")
    try:
        return model(**fields)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, detail["loc"]))
        raise RefusedError(f"this cannot be sent: {field}: {detail['msg'].lower()}") from None


def _is_sound(position: Position) -> bool:
    epoch: object = position.epoch
    offset: object = position.offset
    if not isinstance(epoch, str) or not isinstance(offset, int):
        return False
    return not isinstance(offset, bool) and not has_half_character(epoch)
