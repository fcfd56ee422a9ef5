"""What takes messages for the wire: an outbox, a connection that has one, a member of a room (lesson 04)."""

from __future__ import annotations

from typing import Protocol

from .prepared import Batch, Prepared

__all__ = ["ClosableSink", "Member", "Sink"]


class Sink(Protocol):
    """Takes messages at once, whatever its peer does: no call here waits or raises."""

    def send_nowait(self, message: Prepared) -> None:
        """Take one message."""

    def send_many_nowait(self, batch: Batch) -> None:
        """Take messages that go out in this order."""


class Member(Sink, Protocol):
    """A sink with a user, such as a connection that is in a room."""

    @property
    def user(self) -> str:
        """Return the name of the user whose connection it is."""

    async def drained(self) -> None:
        """Wait until nothing is queued, or until the connection is over."""


class ClosableSink(Sink, Protocol):
    """A sink that can be waited for and closed, such as an `Outbox`."""

    async def drained(self) -> None:
        """Wait until nothing is queued, or until the connection is over."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection with this code and reason; return at once."""
