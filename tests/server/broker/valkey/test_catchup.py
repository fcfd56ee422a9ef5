"""A cursor delivers records in order, each once, whether they come from the channel or the log."""

from __future__ import annotations

from server.broker import History, Position, Record
from server.broker.listeners import Subscription, Subscriptions
from server.broker.valkey.catchup import EARLY, Cursor
from server.broker.valkey.seen import StampedPosition
from tests.server.broker.recorder import Recorder


def record(offset: int, epoch: str = "e", micros: int | None = None) -> Record:
    """Return the record with this offset; its time in microseconds is the offset, unless the test says otherwise."""
    return Record("t", Position(epoch, offset), str(offset), (offset if micros is None else micros) / 1_000_000)


def receive(cursor: Cursor, offset: int, epoch: str = "e") -> bool:
    """Receive a record from the channel that follows the one before it."""
    return cursor.receive(record(offset, epoch), offset - 1)


def started() -> tuple[Cursor, Recorder]:
    """Return a cursor after its fifth record, and its listener."""
    subscriptions = Subscriptions()
    subscriptions.add(Subscription("t", received := Recorder()))
    cursor = Cursor("t", subscriptions)
    cursor.start(StampedPosition("e", 5, 5))
    return cursor, received


def test_known_records_are_skipped() -> None:
    """A record that was delivered isn't delivered again, and isn't a sign of a gap."""
    cursor, received = started()
    assert [receive(cursor, offset) for offset in (4, 5, 6, 6, 7)] == [True] * 5
    assert received.offsets == [6, 7]


def test_gap_and_other_epoch_are_noticed() -> None:
    """A record that isn't the next is not delivered."""
    cursor, received = started()
    assert not receive(cursor, 7)
    assert not receive(cursor, 6, "f")
    assert received.offsets == []


def test_records_that_arrive_while_a_gap_is_filled_are_kept() -> None:
    """They follow the records of the log, each once."""
    cursor, received = started()
    cursor.filling = True
    for offset in (8, 9, 10):
        assert receive(cursor, offset)
    records = tuple(record(offset) for offset in (6, 7, 8))
    assert cursor.fill(History(records, Position("e", 8), complete=True), StampedPosition("e", 8, 8))
    assert cursor.resume()
    assert received.offsets == [6, 7, 8, 9, 10]


def test_nothing_is_delivered_before_positions_are_compared() -> None:
    """Until then records are kept: on a new connection the log may be another one."""
    cursor, received = started()
    cursor.paused = True
    assert receive(cursor, 6)
    assert received.offsets == []
    assert cursor.resume()
    assert received.offsets == [6]


def test_more_than_can_be_kept_is_a_gap_again() -> None:
    """Memory is bounded: if the oldest records were dropped, the log is read again."""
    cursor, received = started()
    cursor.filling = True
    for offset in range(7, 7 + EARLY + 1):
        receive(cursor, offset)
    assert cursor.fill(History((record(6),), Position("e", 6), complete=True), StampedPosition("e", 6, 6))
    assert not cursor.resume()
    assert received.offsets == [6]


def test_lost_records_are_reported() -> None:
    """If the log can't continue from the position, on_reset names the one before its first record."""
    cursor, received = started()
    records = (record(3, "f"), record(4, "f"))
    assert not cursor.fill(History(records, Position("f", 9), complete=False), StampedPosition("f", 9, 9))
    assert (received.resets, received.offsets) == ([Position("f", 2)], [3, 4])


def test_log_that_counts_on_after_a_loss_is_noticed() -> None:
    """A record with a known offset and another time, or after another record, isn't a duplicate."""
    cursor, received = started()
    assert not cursor.receive(record(5, micros=50), 4)
    assert not cursor.receive(record(6), 50)
    assert received.offsets == []
    assert (
        cursor.is_at(StampedPosition("e", 5, 5)),
        cursor.is_at(StampedPosition("e", 5, 50)),
        cursor.is_at(None),
    ) == (
        True,
        False,
        False,
    )
