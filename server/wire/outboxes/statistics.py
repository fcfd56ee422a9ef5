"""What the outboxes of this process hold, and what they have done (lesson 04)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

__all__ = ["FanoutStatistics", "OutboxRegistry", "OutboxStatistics", "registry", "statistics"]


@dataclass(frozen=True, kw_only=True)
class OutboxStatistics:
    """What one outbox holds, and what it has done."""

    messages: int
    """Messages that wait."""
    size: int
    """Bytes of the messages that wait, as UTF-8."""
    sent: int
    """Messages handed to the server software."""
    dropped: int
    """Messages that the peer will never get: pushed out, replaced by a newer one, or waiting when it ended."""
    blocked: bool
    """Whether it waits for a peer that does not keep up."""


@dataclass(frozen=True, kw_only=True)
class FanoutStatistics:
    """What all outboxes of this process hold and have done together."""

    connections: int
    """Outboxes that are open."""
    blocked: int
    """Of these, how many wait for a peer that does not keep up."""
    messages: int
    """Messages that wait."""
    size: int
    """Bytes of the messages that wait, as UTF-8."""
    sent: int
    """Messages handed to the server software, those of closed outboxes included."""
    dropped: int
    """Messages that their peers will never get, those of closed outboxes included."""
    slow: int
    """Connections closed with 4008, because they did not read."""


class _Outbox(Protocol):
    def statistics(self) -> OutboxStatistics: ...


class OutboxRegistry:
    """Every open outbox of this process, and the sums of those that are closed.

    It may be used from several threads: each server of a process can have a thread of its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[_Outbox] = set()
        self._sent = self._dropped = self._slow = 0

    def add(self, outbox: _Outbox) -> None:
        """Count an outbox as open until it is discarded."""
        with self._lock:
            self._open.add(outbox)

    def count_slow(self) -> None:
        """Count a connection that was closed with 4008."""
        with self._lock:
            self._slow += 1

    def discard(self, outbox: _Outbox) -> None:
        """Keep only the sums of an outbox that is done; do nothing if it was discarded before."""
        with self._lock:
            if outbox in self._open:
                self._open.discard(outbox)
                done = outbox.statistics()
                self._sent += done.sent
                self._dropped += done.dropped

    def statistics(self) -> FanoutStatistics:
        """Return the sums over all outboxes, as they are now."""
        with self._lock:
            each = [outbox.statistics() for outbox in self._open]
            return FanoutStatistics(
                connections=len(each),
                blocked=sum(one.blocked for one in each),
                messages=sum(one.messages for one in each),
                size=sum(one.size for one in each),
                sent=self._sent + sum(one.sent for one in each),
                dropped=self._dropped + sum(one.dropped for one in each),
                slow=self._slow,
            )


registry = OutboxRegistry()


def statistics() -> FanoutStatistics:
    """Return what all outboxes of this process hold and have done; the cost grows with their number."""
    return registry.statistics()
