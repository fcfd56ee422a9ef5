"""How far a client has come in one room or in its inbox, and so which message is next, a duplicate, or behind a gap."""

from __future__ import annotations

import secrets
from enum import Enum, auto
from typing import Generic, TypeVar

from ..broker import Position
from ..messages import Join, Watch
from .reader import LostMessages, Reader

__all__ = ["Arrival", "Subscription"]

T = TypeVar("T")


class Arrival(Enum):
    """What a message that arrives is, compared with the position of its subscription."""

    NEXT = auto()
    DUPLICATE = auto()
    GAP = auto()
    """Messages are missing before it, or it belongs to another epoch: request everything after the position again."""
    STALE = auto()
    """The answer to the last request has not come yet, and will repeat this message."""


class Subscription(Generic[T]):
    """One room or the inbox, over all the connections of a client."""

    def __init__(self, room: str | None) -> None:
        self.room = room
        """The room; None for the inbox."""
        self.reader: Reader[T] | None = None
        """Gets the messages. Without one, the client is in the room only to send."""
        self.position: Position | None = None
        """The reader got everything up to here, once; None before the first answer."""
        self.request_id: str | None = None
        """The id of the join or watch that the server has not answered yet."""
        self.is_active = False
        """Whether the server has answered on this connection."""
        self.has_dropped = False
        """Whether a message was dropped because the reader was full, so that it must be requested again."""

    def attach(self, reader: Reader[T]) -> None:
        """Start at the position of a reader."""
        self.reader, self.position, self.request_id, self.has_dropped = reader, reader.position, None, False

    def request(self) -> Join | Watch:
        """Return a new request for everything after the position; what arrives before its answer is stale."""
        self.request_id, self.is_active, self.has_dropped = secrets.token_urlsafe(9), False, False
        last = self.reader.last if self.reader is not None and self.position is None else 0
        if self.room is None:
            return Watch(after=self.position, last=last, id=self.request_id)
        return Join(room=self.room, after=self.position, last=last, id=self.request_id)

    def on_disconnect(self) -> None:
        """Forget the request: the connection is gone."""
        self.request_id, self.is_active, self.has_dropped = None, False, False

    def activate(self, position: Position, complete: bool) -> LostMessages | None:
        """Take the answer to the request: messages come after `position`. Return what is lost for good, if anything."""
        before, self.request_id, self.is_active = self.position, None, True
        if before is None or (complete and before == position):
            self.position = position
            return None
        return LostMessages(self.room, before, position)

    def classify(self, position: Position) -> Arrival:
        """Say what a message at `position` is; the subscription itself stays where it is."""
        if not self.is_active or self.has_dropped or self.position is None:
            return Arrival.STALE
        if position.epoch != self.position.epoch or position.offset > self.position.offset + 1:
            return Arrival.GAP
        return Arrival.NEXT if position.offset == self.position.offset + 1 else Arrival.DUPLICATE
