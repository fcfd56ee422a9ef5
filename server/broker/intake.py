"""What every broker refuses before it asks its engine: topics, keys and payloads that are empty or too long."""

from __future__ import annotations

from .protocol import Limits, PayloadError

__all__ = ["LONGEST_NAME", "check_key", "check_limit", "check_payload", "check_topic"]

LONGEST_NAME = 200  # characters of a topic, and of a key


def check_topic(topic: str) -> None:
    """Take a topic of 1 to 200 characters.

    Raises:
        PayloadError: it is empty, too long, or has a character that UTF-8 cannot carry.
    """
    _check_name("topic", topic)


def check_key(key: str | None) -> None:
    """Take an idempotency key of 1 to 200 characters, or none.

    Raises:
        PayloadError: it is empty, too long, or has a character that UTF-8 cannot carry.
    """
    if key is not None:
        _check_name("key", key)


def check_payload(payload: str, limits: Limits) -> None:
    """Take a payload of 1 to `limits.payload_bytes` bytes of UTF-8.

    Raises:
        PayloadError: it is empty, too long, or has a character that UTF-8 cannot carry.
    """
    if not payload:
        raise PayloadError("the payload is empty; send at least one character")
    # a character is at least one byte: what is far too long is not encoded to find out
    size = len(payload) if len(payload) > limits.payload_bytes else _size("payload", payload)
    if size > limits.payload_bytes:
        raise PayloadError(
            f"the payload has {size} bytes or more, the limit is {limits.payload_bytes}; "
            "send less, or raise Limits(payload_bytes=…)"
        )


def check_limit(limit: int | None) -> None:
    """Take a limit of 0 or more, or none.

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
            f"the {what} {name[:20]!r}… has {len(name)} characters; the limit is {LONGEST_NAME}; use a hash of it"
        )
    _size(what, name)


def _size(what: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        bad = text[error.start]
        raise PayloadError(
            f"the {what} has {bad!r} at {error.start}, half of a character that UTF-8 cannot carry; "
            "send whole characters"
        ) from None
