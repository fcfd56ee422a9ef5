"""A follower passes records on in order, each once, from wherever they come."""

from __future__ import annotations

from server.broker import History, Position, Record
from server.broker.follower import EARLY, Follower
from server.broker.subscriptions import Subscription, Subscriptions
from tests.server.broker.heard import Heard


def record(offset: int, epoch: str = "e") -> Record:
    """The record with this offset."""
    return Record("t", Position(epoch, offset), str(offset), 0.0)


def following() -> tuple[Follower, Heard]:
    """A follower after its fifth record, and what its listener hears."""
    subscriptions = Subscriptions()
    subscriptions.add(Subscription("t", heard := Heard()))
    follower = Follower("t", subscriptions)
    follower.begin(Position("e", 5))
    return follower, heard


def test_known_records_are_left_out() -> None:
    """A record that was passed on already is not passed on again, and is no sign of a gap."""
    follower, heard = following()
    assert [follower.take(record(offset)) for offset in (4, 5, 6, 6, 7)] == [True] * 5
    assert heard.offsets == [6, 7]


def test_gap_and_other_epoch_are_seen() -> None:
    """A record that is not next is not passed on."""
    follower, heard = following()
    assert not follower.take(record(7))
    assert not follower.take(record(6, "f"))
    assert heard.offsets == []


def test_what_comes_while_a_gap_is_filled_is_kept() -> None:
    """It follows what the log had, each record once."""
    follower, heard = following()
    follower.filling = True
    for offset in (8, 9, 10):
        assert follower.take(record(offset))
    records = tuple(record(offset) for offset in (6, 7, 8))
    assert follower.fill(History(records, Position("e", 8), complete=True))
    assert follower.filled()
    assert heard.offsets == [6, 7, 8, 9, 10]


def test_what_is_too_much_to_keep_is_a_gap_again() -> None:
    """Memory is bounded: where the oldest had to be left out, the log is asked again."""
    follower, heard = following()
    follower.filling = True
    for offset in range(7, 7 + EARLY + 1):
        follower.take(record(offset))
    assert follower.fill(History((record(6),), Position("e", 6), complete=True))
    assert not follower.filled()
    assert heard.offsets == [6]


def test_lost_records_are_said() -> None:
    """Where the log cannot go on from the position, on_reset names the one before its first."""
    follower, heard = following()
    records = (record(3, "f"), record(4, "f"))
    assert not follower.fill(History(records, Position("f", 9), complete=False))
    assert (heard.resets, heard.offsets) == ([Position("f", 2)], [3, 4])
