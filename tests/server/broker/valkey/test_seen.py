"""What a process has seen of a topic only ever grows, in whatever order the answers are read."""

from __future__ import annotations

import pytest

from server.broker import Position, Record
from server.broker.valkey.seen import MAX_TOPICS, SeenPositions, StampedPosition

OLD, NEW = "1000-a", "2000-b"  # epochs begin with the microsecond at which they began


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [
        ((OLD, 5, 5), (OLD, 6, 6), (OLD, 6, 6)),
        ((OLD, 6, 6), (OLD, 5, 5), (OLD, 6, 6)),
        ((OLD, 6, 6), (NEW, 1, 9), (NEW, 1, 9)),
        ((NEW, 1, 9), (OLD, 6, 6), (NEW, 1, 9)),
        ((OLD, 6, 6), (OLD, 6, 7), (OLD, 6, 6)),
        ((OLD, 6, 0), (OLD, 6, 6), (OLD, 6, 6)),
        (("9-c", 1, 1), ("1000-a", 1, 1), ("1000-a", 1, 1)),
        (("foreign", 3, 3), (OLD, 1, 1), (OLD, 1, 1)),
        ((OLD, 1, 1), ("foreign", 3, 3), (OLD, 1, 1)),
    ],
    ids=[
        "further",
        "not so far",
        "later epoch",
        "an answer of an older epoch that is read late",
        "another record at the same place",
        "the time gets known",
        "later in numbers, not in letters",
        "after an epoch of somebody else",
        "an epoch of somebody else",
    ],
)
def test_newest_position_stays(
    first: tuple[str, int, int], second: tuple[str, int, int], newest: tuple[str, int, int]
) -> None:
    """An engine that is told less than was seen would not notice that it has lost it."""
    seen = SeenPositions()
    seen.add("t", StampedPosition(*first))
    seen.add("t", StampedPosition(*second))
    assert seen.newest("t") == StampedPosition(*newest)


def test_topics_are_bounded() -> None:
    """The topic that was used longest ago is forgotten."""
    seen = SeenPositions()
    for number in range(MAX_TOPICS):
        seen.add(str(number), StampedPosition(OLD, 1, 1))
    seen.add("0", StampedPosition(OLD, 1, 1))
    seen.add("one more", StampedPosition(OLD, 1, 1))
    assert len(seen.topics()) == MAX_TOPICS
    assert (seen.newest("0").offset, seen.newest("1").offset) == (1, 0)


def test_time_of_a_record_is_exact() -> None:
    """Seconds as a float carry the microsecond, for as long as this is used."""
    record = Record("t", Position(OLD, 1), "x", 4_102_444_799_999_999 / 1_000_000)  # the end of 2099
    assert StampedPosition.of(record).micros == 4_102_444_799_999_999
