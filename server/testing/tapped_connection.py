"""One TCP connection through a proxy: how many bytes crossed it, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["CUT", "ConnectionEvent", "Direction", "Outcome", "TappedConnection"]

CUT = "the cable is cut"

Direction: TypeAlias = Literal["client", "server"]
"""Who sent it."""

Outcome: TypeAlias = Literal["open", "closed", "reset", "refused", "gave up", "stopped"]
"""How a connection ended; "gave up" is a client that left while the cable was cut, before the server saw it."""


@dataclass(slots=True)
class ConnectionEvent:
    """Something that happened to the connection itself."""

    kind: Literal["end", "reset", "refused", "limit", "fault"]
    text: str
    direction: Direction | None = None
    """The end that did it; None for the proxy, or for both directions of a fault."""
    held: bool = False
    """Whether it happened while the cable was cut, so that the other side learns it after `FaultProxy.mend`."""


class TappedConnection:
    """One client's connection through a `FaultProxy`; see `FaultProxy.connections`."""

    def __init__(self, number: int) -> None:
        self.number = number
        """1 for the proxy's first connection."""
        self.outcome: Outcome = "open"
        """"open" until it has ended; then how."""
        self._bytes: dict[Direction, int] = {"client": 0, "server": 0}
        self._ended: dict[Direction, bool] = {"client": False, "server": False}

    @property
    def bytes_up(self) -> int:
        """Bytes that the client has sent."""
        return self._bytes["client"]

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent."""
        return self._bytes["server"]

    @property
    def ended(self) -> bool:
        """Whether the TCP connection is over."""
        return self.outcome != "open"

    @property
    def ending(self) -> bool:
        """Whether one side has closed its direction and the other has not yet."""
        return not self.ended and any(self._ended.values())

    # the proxy writes

    def record(self, direction: Direction, data: bytes, *, held: bool = False) -> None:
        """Count bytes that `direction` sent; called by the proxy, before it passes them on.

        `held` says that a cut holds them back.
        """
        self._bytes[direction] += len(data)

    def report(self, event: ConnectionEvent) -> None:
        """Take note of something that happened to the connection itself."""
        if event.kind == "end" and event.direction is not None:
            self._ended[event.direction] = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}: {self.outcome}>"
