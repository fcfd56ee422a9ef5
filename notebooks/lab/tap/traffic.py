"""How many bytes crossed the wire, and how many of them may be kept."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RecordingLimit", "Traffic"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that one direction carried."""

    bytes: int = 0
    """All bytes that the tap read, also those after recording stopped."""
    payload: int = 0
    """Payload of frames (as sent, compressed or not) and bodies of HTTP messages."""
    headers: int = 0
    """HTTP heads, frame headers and masking keys: what was sent to carry the payload."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.bytes + other.bytes, self.payload + other.payload, self.headers + other.headers)


class RecordingLimit:
    """How many bytes the conversations of one tap may record, all together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._left = limit

    def take(self, size: int) -> bool:
        """Return whether `size` more bytes may be recorded; after the first no, always return False."""
        self._left = self._left - size if size <= self._left else -1
        return self._left >= 0
