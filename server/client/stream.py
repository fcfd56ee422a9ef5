"""Where a client is in one room, or in its inbox: what comes next, what is a duplicate, what is a gap."""

from __future__ import annotations

import secrets
from enum import Enum, auto
from typing import Generic, TypeVar

from ..broker import Position
from ..messages import Join, Watch
from .reader import Missed, Reader

__all__ = ["Stream", "Turn"]

T = TypeVar("T")


class Turn(Enum):
    """What a message is to whoever has come as far as a position."""

    NEXT = auto()
    DUPLICATE = auto()
    GAP = auto()
    """Something lies in between, or it is of another epoch: ask again from the position."""
    EARLY = auto()
    """Not asked for any more: an answer to what was asked last is still to come."""


class Stream(Generic[T]):
    """One room or the inbox over all the connections of a client."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        """The room; None for the inbox."""
        self.reader: Reader[T] | None = None
        """Who reads it; without one, only what the client says here is looked for."""
        self.position: Position | None = None
        """Everything up to here has been given to the reader, each once; None before the first answer."""
        self.asked: str | None = None
        """The id of the question whose answer is awaited."""
        self.is_open = False
        """Whether the server has answered on this connection."""
        self.behind = False
        """Whether something was let go for want of room, so that it has to be asked for again."""

    def read_by(self, reader: Reader[T]) -> None:
        """Begin at the position of a reader."""
        self.reader, self.position, self.asked, self.behind = reader, reader.position, None, False

    def ask(self) -> Join | Watch:
        """A new question for what comes after the position; until its answer, nothing is news."""
        self.asked, self.is_open, self.behind = secrets.token_urlsafe(9), False, False
        last = self.reader.last if self.reader is not None and self.position is None else 0
        if self.name is None:
            return Watch(after=self.position, last=last, id=self.asked)
        return Join(room=self.name, after=self.position, last=last, id=self.asked)

    def lose(self) -> None:
        """Take note that the connection is gone."""
        self.asked, self.is_open, self.behind = None, False, False

    def answered(self, position: Position, complete: bool) -> Missed | None:
        """Take the answer to the last question: what comes next comes after `position`; what is lost for good."""
        before, self.asked, self.is_open = self.position, None, True
        if before is None or (complete and before == position):
            self.position = position
            return None
        return Missed(self.name, before, position)

    def judge(self, position: Position) -> Turn:
        """What a message at `position` is; the stream itself does not move."""
        if not self.is_open or self.behind or self.position is None:
            return Turn.EARLY
        if position.epoch != self.position.epoch or position.offset > self.position.offset + 1:
            return Turn.GAP
        return Turn.NEXT if position.offset == self.position.offset + 1 else Turn.DUPLICATE
