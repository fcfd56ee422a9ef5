"""What every broker refuses before it asks its engine: topics, keys and payloads that are empty or too long."""

from __future__ import annotations

from ..messages.shorten import shorten
from .interface import Limits, PayloadError

__all__ = ["LONGEST_NAME", "check_limit", "check_publication", "check_topic"]

LONGEST_NAME = 200  # characters of a topic, and of a key


def check_topic(topic: str) -> None:
    """Accept a topic of 1 to 200 characters.

    Raises:
        PayloadError: it is empty, too long, or has a character that UTF-8 can't encode.
    """
    if not 0 < len(topic) <= LONGEST_NAME or not topic.isascii():
        _check_name("topic", topic)


def check_publication(limits: Limits, topic: str, payload: str, key: str | None = None) -> None:
    """Accept a topic, a key of the same length or none, and a payload of 1 to `limits.payload_bytes` bytes of UTF-8.

    Raises:
        PayloadError: one of them is empty, too long, or has a character that UTF-8 can't encode.
    """
    size = len(payload)
    if size <= limits.payload_bytes and not payload.isascii():  # a longer one is refused without encoding it
        size = _size("payload", payload)
    if not 0 < size <= limits.payload_bytes:
        raise _bad_size(size, limits)
    for what, name in (("topic", topic), ("key", key)):
        if name is not None and not (name.isascii() and 0 < len(name) <= LONGEST_NAME):
            _check_name(what, name)


def check_limit(limit: int | None) -> None:
    """Accept a limit of 0 or more, or none.

    Raises:
        ValueError: it is negative.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be 0 or more, got {limit!r}; pass limit=None for all that is kept")


def _check_name(what: str, name: str) -> None:
    if not name:
        raise PayloadError(f"the {what} is empty; give it 1 to {LONGEST_NAME} characters")
    if len(name) > LONGEST_NAME:
        raise PayloadError(
            f"the {what} {shorten(name, 20)!r}… has {len(name)} characters; the limit is {LONGEST_NAME}; "
            "use a hash of it"
        )
    _size(what, name)


def _size(what: str, text: str) -> int:
    """Return the bytes of a text as UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise PayloadError(
            f"the {what} has {text[error.start]!r} at {error.start}, half of a character that UTF-8 can't encode; "
            "send whole characters"
        ) from None


def _bad_size(size: int, limits: Limits) -> PayloadError:
    if not size:
        return PayloadError("the payload is empty; send at least one character")
    return PayloadError(
        f"the payload has {size} bytes or more, the limit is {limits.payload_bytes}; "
        "send less, or raise Limits(payload_bytes=…)"
    )
