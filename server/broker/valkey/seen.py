"""What this process has seen of each topic, to notice an engine that comes back without it.

Every script is told the newest position that was seen of its topic. An engine that was restored from an older
snapshot, or a replica that took over before it had everything, would otherwise give offsets that somebody has seen to
other records.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Self

from ..interface import Position, Record

__all__ = ["SeenPositions", "StampedPosition"]

MAX_TOPICS = 10_000  # topics that are remembered; the one that was used longest ago is forgotten


class StampedPosition(NamedTuple):
    """A position and the time of its record, which tells that record from another one with the same offset."""

    epoch: str
    offset: int
    micros: int
    """Microseconds since 1970; 0 if there is no record or its time isn't known."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the position and time of a record; until the year 2100 a float is exact to the microsecond."""
        return cls(record.position.epoch, record.position.offset, round(record.time * 1_000_000))

    @property
    def position(self) -> Position:
        """Return the position without the time."""
        return Position(self.epoch, self.offset)

    @property
    def began(self) -> int:
        """Return the microsecond at which the epoch began; 0 if its name doesn't tell."""
        began = self.epoch.partition("-")[0]
        return int(began) if began.isascii() and began.isdigit() else 0

    def agrees(self, micros: int) -> bool:
        """Return whether the record here can have that time: it does, or one of the two times isn't known."""
        return self.micros == micros or 0 in (self.micros, micros)


NOTHING = StampedPosition("", 0, 0)


class SeenPositions:
    """The newest position that was seen of each topic, for the topics that were used last."""

    def __init__(self) -> None:
        self._by_topic: OrderedDict[str, StampedPosition] = OrderedDict()

    def add(self, topic: str, seen: StampedPosition) -> None:
        """Remember a position, unless one of a later epoch or further on is known; keep the first of two times.

        Answers can be read in another order than the engine gave them. One from an older epoch is out of date.
        """
        known = self._by_topic.get(topic, NOTHING)
        if known.epoch != seen.epoch:
            is_newer = seen.began >= known.began
        else:
            is_newer = known.offset < seen.offset or known == seen._replace(micros=0)
        if is_newer:
            self._by_topic[topic] = seen
        self._by_topic.move_to_end(topic)
        if len(self._by_topic) > MAX_TOPICS:
            self._by_topic.popitem(last=False)

    def topics(self) -> list[str]:
        """Return the topics of which a position is known."""
        return list(self._by_topic)

    def newest(self, topic: str) -> StampedPosition:
        """Return the newest position of a topic; one with an empty epoch if none is known."""
        return self._by_topic.get(topic, NOTHING)
