"""Messages that are read, whatever version the server has, and made, whatever the caller passes."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from ..messages import Message
from .refusal import ClientError, RefusedError

__all__ = ["kind_of", "made", "read"]

M = TypeVar("M", bound=Message)


def kind_of(text: str) -> object:
    """The ``type`` of a message; None for what is none, which a client passes over as it does with kinds unknown."""
    try:
        data = from_json(text)
    except ValueError:
        return None
    return data.get("type") if isinstance(data, dict) else None


def read(model: type[M], text: str) -> M:
    """A message of this kind; fields that are unknown are left out.

    Raises:
        ClientError: it is none.
    """
    try:
        return model.model_validate_json(text, extra="ignore")
    except ValidationError as error:
        raise ClientError(f"{text[:100]!r} is no {model.__name__}; is the server of this version? {error}") from None


def made(model: type[M], **fields: Any) -> M:
    """A message to send.

    Raises:
        RefusedError: a field is none that any server would take.
    """
    try:
        return model(**fields)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, detail["loc"]))
        raise RefusedError(f"this cannot be said: {field}: {detail['msg'].lower()}") from None
