"""The store of the local broker costs the same whatever is stored, and drops what is too old a little at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from server.broker import Limits, Position
from server.broker.database import open_memory
from server.broker.store import SWEEP, Store
from tests.server.broker.machine import Clock


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """An empty log in memory."""
    with closing(open_memory()) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def _fill(database: sqlite3.Connection, store: Store, number: int) -> Position:
    """A topic "t" with so many records, without publishing each; the position of the last."""
    store.publish("t", "first", None)
    database.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
        "INSERT INTO record SELECT topic.id, n, topic.time, 'payload' FROM numbers, topic",
        (number,),
    )
    database.execute('UPDATE topic SET "offset" = ?', (number,))
    return store.position("t")


def _cost(database: sqlite3.Connection, call: Callable[[], object]) -> int:
    """Instructions of SQLite's virtual machine that a call takes."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    database.set_progress_handler(step, 1)
    call()
    database.set_progress_handler(None, 1)
    return steps


def test_cost_is_the_same_with_a_hundred_records_and_a_hundred_thousand(clock: Clock) -> None:
    """Publishing, resuming near the end and looking at the newest take as many instructions, also when all is old."""

    def costs(number: int) -> list[int]:
        with closing(open_memory()) as database:
            return costs_in(database, number)

    def costs_in(database: sqlite3.Connection, number: int) -> list[int]:
        store = Store(database, Limits(records=number), clock)
        last = _fill(database, store, number)
        calls: list[Callable[[], object]] = [
            lambda: store.publish("t", "x", None),
            lambda: store.publish("t", "x", "key"),
            lambda: store.publish("t", "x", "key"),
            lambda: store.history("t", Position(last.epoch, last.offset - 10), None),
            lambda: store.history("t", None, 10),
            lambda: store.position("t"),
            store.sweep,
        ]
        return [_cost(database, call) for call in calls]

    assert costs(100_000) == costs(100)


def test_expired_records_are_skipped_without_reading_them_all(database: sqlite3.Connection, clock: Clock) -> None:
    """What is too old and not swept yet is found by bisection: 100,000 such records cost less than 1,000 steps."""
    store = Store(database, Limits(records=200_000, seconds=10), clock)
    _fill(database, store, 100_000)
    clock.now += 11
    store.publish("t", "new", None)
    steps = _cost(database, lambda: store.history("t", None, None))
    assert [record.payload for record in store.history("t", None, None).records] == ["new"]
    assert steps < 1_000


def test_no_more_than_the_limit_is_stored(database: sqlite3.Connection, clock: Clock) -> None:
    """What is over the limit by number is not only hidden: it is dropped by the publication that exceeds it."""
    store = Store(database, Limits(records=3), clock)
    for number in range(10):
        store.publish("t", f"{number}", None)
        assert database.execute("SELECT count(*) FROM record").fetchone()[0] == min(number + 1, 3)


def test_every_statement_uses_an_index(database: sqlite3.Connection, clock: Clock) -> None:
    """SQLite's own plan of each statement has no scan of a table of records or keys, and no sorting."""
    store = Store(database, Limits(records=3), clock)
    statements: set[str] = set()
    database.set_trace_callback(statements.add)
    for number in range(5):
        store.publish("t", "x", f"key {number}")
    last = store.position("t")
    store.history("t", last, 1)
    store.history("t", None, 1)
    store.sweep()
    store.purge(store.replace("t").id)
    database.set_trace_callback(None)
    plans = [
        (statement, row[3])
        for statement in statements
        if re.match("SELECT|INSERT|UPDATE|DELETE", statement)
        for row in database.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert len(plans) > 10
    assert [(statement, plan) for statement, plan in plans if "SCAN" in plan or "TEMP B-TREE" in plan] == []


def test_sweep_drops_what_is_old_and_not_more(database: sqlite3.Connection, clock: Clock) -> None:
    """Old records, their keys and their topics go, in bounded steps; what is young stays."""
    store = Store(database, Limits(records=10_000, seconds=100, key_seconds=100), clock)
    for number in range(SWEEP + 10):
        store.publish("old", "x", f"key {number}")
    clock.now += 60
    store.publish("young", "x", "key")
    clock.now += 60

    def rows() -> dict[str, int]:
        return {
            table: database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            for table in ("record", "key", "topic")
        }

    assert store.sweep()
    assert rows() == {"record": 11, "key": 11, "topic": 1}
    assert not store.sweep()
    assert rows() == {"record": 1, "key": 1, "topic": 1}
    assert [record.topic for record in store.history("young", None, None).records] == ["young"]


def test_idle_topic_stays_while_somebody_listens(database: sqlite3.Connection, clock: Clock) -> None:
    """A listener counts on the epoch that it was given: no sweep forgets its topic, however long nothing comes."""
    store = Store(database, Limits(seconds=100, key_seconds=50), clock)
    position = store.position("t")
    clock.now += 101
    store.sweep(frozenset({"t"}))
    assert store.position("t") == position
    clock.now += 99
    store.sweep()  # a listener came, and its broker has not been told yet: its coming counts as use
    assert store.position("t") == position
    clock.now += 101
    store.sweep()
    assert store.position("t").epoch != position.epoch


def test_idle_topics_are_found_among_many(database: sqlite3.Connection, clock: Clock) -> None:
    """Each sweep looks at some topics only; after a few, every idle one is forgotten."""
    store = Store(database, Limits(seconds=100, key_seconds=100), clock)
    for number in range(2 * SWEEP + 10):
        store.position(f"t{number}")
    clock.now += 101
    store.publish("busy", "x", None)
    for _ in range(3):
        store.sweep()
    assert database.execute("SELECT name FROM topic").fetchall() == [("busy",)]


def test_clock_that_is_set_back_does_not_reorder(database: sqlite3.Connection, clock: Clock) -> None:
    """Times of a topic never go back, so that what is too old is always the beginning of its log."""
    store = Store(database, Limits(), clock)
    store.publish("t", "a", None)
    clock.now -= 3600
    store.publish("t", "b", None)
    times = [record.time for record in store.history("t", None, None).records]
    assert times == [clock.now + 3600] * 2


def test_failed_transaction_changes_nothing(database: sqlite3.Connection, clock: Clock) -> None:
    """A call that raises leaves neither its rows nor an open transaction behind."""
    store = Store(database, Limits(), clock)

    def fail(store: Store) -> None:
        store.publish("t", "x", None)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        store.transact(fail)
    assert not database.in_transaction
    assert store.history("t", None, None).position.offset == 0


def test_purge_drops_a_bounded_number(database: sqlite3.Connection, clock: Clock) -> None:
    """A topic with a long log is dropped in steps, so that no other call waits for all of it."""
    store = Store(database, Limits(records=10_000), clock)
    _fill(database, store, 2 * SWEEP + 1)
    dropped = store.replace("t")
    assert store.history("t", None, None).records == ()
    assert [store.purge(dropped.id) for _ in range(4)] == [True, True, True, False]
    assert database.execute("SELECT count(*) FROM record").fetchone() == (0,)
