"""The tables of the local broker and the statements over them: synchronous, one SQLite connection.

Every method runs inside a transaction that the caller begins and commits (see `Store.transact`), and costs the
same whatever the number of records that are stored.
"""

from __future__ import annotations

import secrets
import sqlite3
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from .protocol import History, Limits, Position, Record

__all__ = ["SCHEMA", "Log", "Published", "Replaced", "Store"]

T = TypeVar("T")

SWEEP = 500  # rows that one sweep drops at most, so that none takes long

# a log is contiguous in (topic, "offset"): what is asked for by position lies together
SCHEMA = (
    """CREATE TABLE topic (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
       "offset" INTEGER NOT NULL, time REAL NOT NULL)""",
    """CREATE TABLE record (topic INTEGER NOT NULL, "offset" INTEGER NOT NULL, time REAL NOT NULL,
       payload TEXT NOT NULL, PRIMARY KEY (topic, "offset")) WITHOUT ROWID""",
    "CREATE INDEX record_time ON record (time)",
    """CREATE TABLE "key" (topic INTEGER NOT NULL, "key" TEXT NOT NULL, "offset" INTEGER NOT NULL, time REAL NOT NULL,
       PRIMARY KEY (topic, "key")) WITHOUT ROWID""",
    'CREATE INDEX key_time ON "key" (time)',
)


class Log(NamedTuple):
    """One row of the table of topics."""

    id: int
    epoch: str
    offset: int
    """Of the newest record."""

    time: float
    """Of the newest record, or at which the topic was first used."""

    @property
    def position(self) -> Position:
        """Of the newest record."""
        return Position(self.epoch, self.offset)


class Published(NamedTuple):
    """What became of a publication."""

    position: Position
    record: Record | None
    """None where its key was known, so that nothing was stored."""


class Replaced(NamedTuple):
    """What became of a topic that was dropped."""

    id: int
    """Under which its records and keys are still stored, out of reach."""

    position: Position
    """Of the new epoch: before its first record."""


class Store:
    """The logs of all topics over one connection, which is in autocommit mode and has the tables of `SCHEMA`."""

    def __init__(self, connection: sqlite3.Connection, limits: Limits, clock: Callable[[], float]) -> None:
        self._db = connection
        self._limits = limits
        self._clock = clock
        self._swept_topic = 0  # id of the last topic that a sweep has looked at

    def transact(self, call: Callable[[Store], T]) -> T:
        """Run a call in a transaction of its own."""
        try:
            self._db.execute("BEGIN")
            result = call(self)
            self._db.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise
        return result

    def roll_back(self) -> None:
        """Undo the transaction; SQLite has already done so after some errors, such as a full disk."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def publish(self, topic: str, payload: str, key: str | None) -> Published:
        """Store a record, unless its key is known; and drop what is over the limit by number."""
        now = self._clock()
        log = self._log(topic, now)
        if key is not None and (known := self._remembered(log, key, now)) is not None:
            return Published(Position(log.epoch, known), None)
        # a clock that is set back must not make an older record outlive a newer one
        offset, time = log.offset + 1, max(now, log.time)
        self._db.execute("INSERT INTO record VALUES (?, ?, ?, ?)", (log.id, offset, time, payload))
        self._db.execute('UPDATE topic SET "offset" = ?, time = ? WHERE id = ?', (offset, time, log.id))
        if key is not None:
            self._db.execute('INSERT OR REPLACE INTO "key" VALUES (?, ?, ?, ?)', (log.id, key, offset, now))
        if (dropped := offset - self._limits.records) > 0:
            self._db.execute('DELETE FROM record WHERE topic = ? AND "offset" <= ?', (log.id, dropped))
        position = Position(log.epoch, offset)
        return Published(position, Record(topic, position, payload, time))

    def history(self, topic: str, after: Position | None, limit: int | None) -> History:
        """The records after a position, or the newest."""
        now = self._clock()
        log = self._log(topic, now)
        first = self._first(log, now)
        complete = after is None or (after.epoch == log.epoch and first - 1 <= after.offset <= log.offset)
        start = after.offset + 1 if after is not None and complete else first
        if after is None and limit is not None:
            start = max(start, log.offset + 1 - limit)
        rows = self._db.execute(
            'SELECT "offset", payload, time FROM record WHERE topic = ? AND "offset" >= ? ORDER BY "offset" LIMIT ?',
            (log.id, start, -1 if limit is None else limit),
        )
        epoch = log.epoch
        records = tuple([Record(topic, Position(epoch, offset), payload, time) for offset, payload, time in rows])
        return History(records, log.position, complete)

    def position(self, topic: str) -> Position:
        """The newest position, which a listener is about to count on: an idle topic stays from now on."""
        now = self._clock()
        log = self._log(topic, now)
        if log.time < self._idle_since(now):
            self._db.execute("UPDATE topic SET time = ? WHERE id = ?", (now, log.id))
        return log.position

    def replace(self, topic: str) -> Replaced:
        """Begin a new epoch of a topic; what was stored of the old one is for `purge` to drop."""
        now = self._clock()
        old = self._log(topic, now)
        self._db.execute("DELETE FROM topic WHERE id = ?", (old.id,))
        return Replaced(old.id, self._log(topic, now).position)

    def purge(self, topic_id: int) -> bool:
        """Drop some of the records and keys of a topic that was replaced; whether there may be more."""
        dropped = 0
        for table, column in (("record", '"offset"'), ('"key"', '"key"')):
            dropped += self._db.execute(
                f"DELETE FROM {table} WHERE topic = ? AND {column} IN "
                f"(SELECT {column} FROM {table} WHERE topic = ? ORDER BY {column} LIMIT {SWEEP})",
                (topic_id, topic_id),
            ).rowcount
        return dropped > 0

    def sweep(self, watched: frozenset[str] = frozenset()) -> bool:
        """Drop some of what is too old, but no topic that is `watched`; whether there may be more."""
        now = self._clock()
        records = self._db.execute(
            'DELETE FROM record WHERE (topic, "offset") IN '
            f'(SELECT topic, "offset" FROM record WHERE time < ? ORDER BY time LIMIT {SWEEP})',
            (now - self._limits.seconds,),
        ).rowcount
        keys = self._db.execute(
            'DELETE FROM "key" WHERE (topic, "key") IN '
            f'(SELECT topic, "key" FROM "key" WHERE time < ? ORDER BY time LIMIT {SWEEP})',
            (now - self._limits.key_seconds,),
        ).rowcount
        self._sweep_topics(now, watched)
        return max(records, keys) == SWEEP

    def probe(self) -> None:
        """Write something that changes nothing, to see whether the disk takes it."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        self._db.execute(f"PRAGMA user_version = {version:d}")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _sweep_topics(self, now: float, watched: frozenset[str]) -> None:
        """Forget some of the topics that nobody has used for longer than anything is kept."""
        rows = self._db.execute(
            f"SELECT id, name, time FROM topic WHERE id > ? ORDER BY id LIMIT {SWEEP}", (self._swept_topic,)
        ).fetchall()
        self._swept_topic = rows[-1][0] if len(rows) == SWEEP else 0
        idle = [(row[0],) for row in rows if row[2] < self._idle_since(now) and row[1] not in watched]
        self._db.executemany("DELETE FROM topic WHERE id = ?", idle)

    def _idle_since(self, now: float) -> float:
        return now - max(self._limits.seconds, self._limits.key_seconds)

    def _log(self, topic: str, now: float) -> Log:
        """The row of a topic, made where there is none."""
        row = self._db.execute('SELECT id, epoch, "offset", time FROM topic WHERE name = ?', (topic,)).fetchone()
        if row is not None:
            return Log(*row)
        epoch = secrets.token_hex(8)
        made = self._db.execute(
            'INSERT INTO topic (name, epoch, "offset", time) VALUES (?, ?, 0, ?)', (topic, epoch, now)
        )
        assert made.lastrowid is not None
        return Log(made.lastrowid, epoch, 0, now)

    def _remembered(self, log: Log, key: str, now: float) -> int | None:
        """The offset that a key was published with, while it is remembered."""
        row = self._db.execute(
            'SELECT "offset" FROM "key" WHERE topic = ? AND "key" = ? AND time >= ?',
            (log.id, key, now - self._limits.key_seconds),
        ).fetchone()
        return None if row is None else int(row[0])

    def _first(self, log: Log, now: float) -> int:
        """The offset of the oldest record that is within the limits, or the next one where there is none."""
        row = self._db.execute('SELECT min("offset") FROM record WHERE topic = ?', (log.id,)).fetchone()
        if row[0] is None:
            return log.offset + 1
        # offsets are contiguous and times ascend: what no sweep has dropped yet is found by bisection
        kept = range(max(row[0], log.offset + 1 - self._limits.records), log.offset + 1)
        oldest = now - self._limits.seconds
        if not kept or self._time(log, kept.start) >= oldest:
            return kept.start
        return kept.start + bisect_left(kept, oldest, key=lambda offset: self._time(log, offset))

    def _time(self, log: Log, offset: int) -> float:
        row = self._db.execute('SELECT time FROM record WHERE topic = ? AND "offset" = ?', (log.id, offset)).fetchone()
        return float(row[0])
