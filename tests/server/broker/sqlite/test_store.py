"""The local broker's store takes the same time however much is stored, and drops old records a few at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.broker import Limits, Position
from server.broker.sqlite.files import open_memory
from server.broker.sqlite.store import SWEEP, Store
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
    """Make a topic "t" with so many records without publishing each; return the position of the last."""
    store.publish("t", "first", None)
    database.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
        "INSERT INTO record SELECT topic.id, n, topic.time, 'payload' FROM numbers, topic",
        (number,),
    )
    database.execute('UPDATE topic SET "offset" = ?', (number,))
    return store.position("t")


def _cost(database: sqlite3.Connection, call: Callable[[], object]) -> int:
    """Return how many instructions of SQLite's virtual machine a call takes."""
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
    """Publishing, resuming near the end and reading the newest take the same number of instructions."""

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
    """Old records that aren't swept yet are skipped by bisection: 100,000 of them take less than 1,000 steps."""
    store = Store(database, Limits(records=200_000, seconds=10), clock)
    _fill(database, store, 100_000)
    clock.now += 11
    store.publish("t", "new", None)
    steps = _cost(database, lambda: store.history("t", None, None))
    assert [record.payload for record in store.history("t", None, None).records] == ["new"]
    assert steps < 1_000


def test_no_more_than_the_limit_is_stored(database: sqlite3.Connection, clock: Clock) -> None:
    """A record over the limit by number isn't only hidden: the publication that exceeds the limit drops it."""
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
    """A listener relies on the epoch that it got: no sweep forgets its topic, however long nothing is published."""
    store = Store(database, Limits(seconds=100, key_seconds=50), clock)
    position = store.position("t")
    clock.now += 101
    store.sweep(frozenset({"t"}))
    assert store.position("t") == position
    clock.now += 99
    store.sweep()  # a listener has read the position, which counts as use, and is about to subscribe
    assert store.position("t") == position
    clock.now += 101
    store.sweep()
    assert store.position("t").epoch != position.epoch


def test_topic_without_a_record_is_soon_forgotten(database: sqlite3.Connection, clock: Clock) -> None:
    """Joining one room after another doesn't fill the disk: only a topic with a record or a listener stays."""
    store = Store(database, Limits(seconds=1000, key_seconds=1000, empty_seconds=100), clock)
    for topic in ("joined", "received"):
        store.position(topic)
    store.history("read", None, 0)
    store.publish("used", "x", None)
    for _ in range(5):
        clock.now += 60
        store.sweep(frozenset({"received"}))
    assert database.execute("SELECT name FROM topic ORDER BY name").fetchall() == [("received",), ("used",)]
    clock.now += 60
    store.sweep()  # as after a restart: the listeners come back to the same epoch
    assert database.execute("SELECT name FROM topic ORDER BY name").fetchall() == [("received",), ("used",)]
    clock.now += 60
    store.sweep()
    assert database.execute("SELECT name FROM topic").fetchall() == [("used",)]


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


def _kept(store: Store) -> list[str]:
    return [record.payload for record in store.history("t", None, None).records]


@pytest.mark.parametrize("ahead", [50.0, 3600.0])
def test_clock_that_ran_ahead_and_came_back(database: sqlite3.Connection, clock: Clock, ahead: float) -> None:
    """Records have the clock's time, and no record is kept longer than its age plus what the clock was ahead."""
    store = Store(database, Limits(seconds=100), clock)
    begun = clock.now
    clock.now += ahead
    for payload in ("ahead 1", "ahead 2"):
        store.publish("t", payload, None)
    clock.now = begun
    published = [store.publish("t", payload, None).record for payload in ("back 1", "back 2")]
    assert [record.time for record in published if record is not None] == [begun, begun]
    assert [record.time for record in store.history("t", None, None).records] == [begun + ahead] * 2 + [begun] * 2
    clock.now += 60
    store.publish("t", "late", None)
    assert _kept(store) == ["ahead 1", "ahead 2", "back 1", "back 2", "late"]
    clock.now = begun + 101 + (ahead if ahead < 100 else 0)
    assert _kept(store) == ["late"]
    store.sweep()
    assert database.execute("SELECT count(*) FROM record").fetchone() == (1,)


def test_clock_that_was_behind_drops_nothing(database: sqlite3.Connection, clock: Clock) -> None:
    """A record with a time decades ago keeps its place: neither it nor the records before it are dropped."""
    store = Store(database, Limits(seconds=100), clock)
    begun = clock.now
    store.publish("t", "a", None)
    clock.now = 5.0
    store.publish("t", "behind", None)
    clock.now = begun + 10
    store.publish("t", "b", None)
    assert not store.sweep()
    assert _kept(store) == ["a", "behind", "b"]
    clock.now = begun + 101
    store.sweep()
    assert _kept(store) == ["b"]


def test_records_that_stay_do_not_hide_others_from_the_sweep(database: sqlite3.Connection, clock: Clock) -> None:
    """If more records look old than one sweep reads, and all must stay, the next sweep reads the ones after them."""
    store = Store(database, Limits(records=10_000, seconds=100), clock)
    begun = clock.now
    clock.now = begun - 101
    store.publish("old", "x", None)
    clock.now = begun
    store.publish("t", "a", None)
    clock.now = 5.0
    for _ in range(SWEEP + 1):
        store.publish("t", "behind", None)
    clock.now = begun + 1
    for _ in range(2):
        store.sweep()
    assert database.execute("SELECT count(*) FROM record").fetchone() == (SWEEP + 2,)


@given(
    steps=st.lists(st.sampled_from([-10_000.0, -150.0, -30.0, 0.0, 1.0, 30.0, 99.0, 150.0, 10_000.0]), max_size=30),
    records=st.sampled_from([3, 1000]),
)
def test_log_is_contiguous_whatever_the_clock_does(steps: list[float], records: int) -> None:
    """Only the beginning of a log is dropped, up to a record that is too old or over the limit by number."""
    clock = Clock()
    with closing(open_memory()) as database:
        store = Store(database, Limits(records=records, seconds=100), clock)
        times: list[float] = []
        lowest = 1
        for step in steps:
            clock.now += step
            store.publish("t", "x", None)
            times.append(clock.now)
            if len(times) % 3 == 0:
                store.sweep()
            history = store.history("t", None, None)
            offsets = [record.position.offset for record in history.records]
            first = offsets[0] if offsets else len(times) + 1
            assert offsets == list(range(first, len(times) + 1))
            assert [record.time for record in history.records] == times[first - 1 :]
            oldest = clock.now - 100
            assert first == max(lowest, len(times) - records + 1) or times[first - 2] < oldest
            assert not offsets or times[first - 1] >= oldest
            stored = database.execute('SELECT min("offset") FROM record').fetchone()[0]
            lowest = stored if stored is not None else first


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
