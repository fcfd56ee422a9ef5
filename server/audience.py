"""Receivers who all get the same messages, what is said in one pass of the loop together (lesson 04)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from .prepared import Batch, Prepared

__all__ = ["Audience", "Receiver"]


class Receiver(Protocol):
    """An outbox, or a member of a room that has one."""

    def deliver(self, message: Prepared) -> None:
        """Take a message; never waits and never raises."""

    def deliver_all(self, batch: Batch) -> None:
        """Take messages, in this order; never waits and never raises."""


R = TypeVar("R", bound=Receiver)


class Audience(Generic[R]):
    """Receivers in the order of their coming. To send costs nothing; each pass of the loop costs one call for each.

    A receiver gets what is sent while it is here: neither what was due when it came, nor what is sent
    after it has gone.
    """

    __slots__ = ("_due", "_receivers")

    def __init__(self) -> None:
        self._receivers: dict[R, None] = {}
        self._due: list[Prepared] = []

    def __len__(self) -> int:
        return len(self._receivers)

    def __iter__(self) -> Iterator[R]:
        return iter(self._receivers)

    def __contains__(self, receiver: object) -> bool:
        return receiver in self._receivers

    def add(self, receiver: R) -> None:
        """Let a receiver in; harmless for one that is here."""
        self.flush()
        self._receivers[receiver] = None

    def discard(self, receiver: R) -> None:
        """Let a receiver go, after what is due; harmless for one that is not here."""
        if receiver in self._receivers:
            self.flush()
            del self._receivers[receiver]

    def send(self, message: Prepared) -> None:
        """Hand a message on when the loop comes round, together with what else has been sent by then."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self.flush)
        self._due.append(message)

    def flush(self) -> None:
        """Hand on now what is due; harmless when nothing is."""
        if not self._due:
            return
        due, self._due = self._due, []
        batch = Batch(tuple(due))
        for receiver in self._receivers:
            receiver.deliver_all(batch)
