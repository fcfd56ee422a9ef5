"""How far this process has followed one topic: the records are passed on in order, each once, none left out."""

from __future__ import annotations

import asyncio
from collections import deque

from .protocol import History, Position, Record
from .subscriptions import Subscriptions

__all__ = ["Follower"]

EARLY = 256  # records kept that come while a gap is filled; what is more is read from the log


class Follower:
    """The position of one topic, shared by all its listeners in this process.

    A record comes from the channel, where some may be missing, or from the log, where none is. What has
    been passed on already is left out, and what is not next is not passed on.
    """

    def __init__(self, topic: str, subscriptions: Subscriptions) -> None:
        self.topic = topic
        self.users = 0
        """Blocks that listen or are about to."""
        self.position: Position | None = None
        """Of the last record that was passed on; None before the log has been looked at."""
        self.filling = False
        """Whether a gap is being filled from the log."""
        self.opening = asyncio.Lock()
        self._subscriptions = subscriptions
        self._early: deque[Record] = deque(maxlen=EARLY)

    def take(self, record: Record) -> bool:
        """Pass on a record from the channel, or keep it for later; False where some before it are missing."""
        if self.position is None or self.filling:
            self._early.append(record)
            return True
        return self._next(record)

    def begin(self, position: Position) -> bool:
        """Follow from a position on; False where some records after it are missing already."""
        self.position = position
        return self._take_early()

    def fill(self, history: History) -> bool:
        """Pass on what the log has after the position; whether that was all."""
        records = history.records
        if not history.complete:
            start = records[0].position.offset - 1 if records else history.position.offset
            self.position = Position(history.position.epoch, start)
            self._subscriptions.reset(self.topic, self.position)
        for record in records:
            self._next(record)
        return self.position == history.position or not records

    def filled(self) -> bool:
        """Go on with the channel; False where some records are missing again."""
        self.filling = False
        return self._take_early()

    def _take_early(self) -> bool:
        early = list(self._early)
        self._early.clear()
        return all(self._next(record) for record in early)

    def _next(self, record: Record) -> bool:
        known, position = self.position, record.position
        if known is None or position.epoch != known.epoch or position.offset > known.offset + 1:
            return False
        if position.offset == known.offset + 1:
            self.position = position
            self._subscriptions.record(record)
        return True
