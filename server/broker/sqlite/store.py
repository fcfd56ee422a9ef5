"""The tables of the local broker and the statements on them: synchronous, over one SQLite connection.

Every method runs inside a transaction (see `Store.transact`), and takes the same time however many records are stored.
"""

from __future__ import annotations

import secrets
import sqlite3
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ..interface import History, Limits, Position, Record

__all__ = ["SCHEMA", "Log", "Published", "Replaced", "Store"]

T = TypeVar("T")

SWEEP = 500  # rows that one sweep drops at most, so that it never takes long
_BEGINNING = (0.0, 0, 0)  # before every record in the order of time, topic, offset
_PAST_ALL = 1 << 62  # greater than any offset

# records are stored in the order of (topic, "offset"): those after a position are next to each other
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
    """The offset of the newest record, or 0."""

    time: float
    """The time of the newest record, or of the last use by a listener if that is later."""

    @property
    def position(self) -> Position:
        """Return the position of the newest record."""
        return Position(self.epoch, self.offset)


class Published(NamedTuple):
    """The result of a publication."""

    position: Position
    record: Record | None
    """None if the key was used before, so that nothing was stored."""


class Replaced(NamedTuple):
    """The result of dropping a topic."""

    id: int
    """The id under which its records and keys are still stored, where no method finds them."""

    position: Position
    """The position before the first record of the new epoch."""


class Store:
    """The logs of all topics, over a connection that is in autocommit mode and has the tables of `SCHEMA`."""

    def __init__(self, connection: sqlite3.Connection, limits: Limits, clock: Callable[[], float]) -> None:
        self._db = connection
        self._limits = limits
        self._clock = clock
        self._swept_topic = 0  # id of the last topic that a sweep has looked at
        self._swept_record = _BEGINNING  # the last record that a sweep has looked at and kept

    def transact(self, call: Callable[[Store], T]) -> T:
        """Run a call in a transaction: commit it, or roll it back if the call raises."""
        try:
            self._db.execute("BEGIN")
            result = call(self)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back after some errors, such as a full disk
                self._db.execute("ROLLBACK")
            raise
        return result

    def publish(self, topic: str, payload: str, key: str | None) -> Published:
        """Store a record unless its key was used before; drop the oldest if there are too many."""
        now = self._clock()
        log = self._find_log(topic, now)
        if key is not None and (known := self._offset_of_key(log, key, now)) is not None:
            return Published(Position(log.epoch, known), None)
        offset = log.offset + 1
        self._db.execute("INSERT INTO record VALUES (?, ?, ?, ?)", (log.id, offset, now, payload))
        # setting the clock back doesn't make a topic idle
        self._db.execute('UPDATE topic SET "offset" = ?, time = ? WHERE id = ?', (offset, max(now, log.time), log.id))
        if key is not None:
            self._db.execute('INSERT OR REPLACE INTO "key" VALUES (?, ?, ?, ?)', (log.id, key, offset, now))
        if (dropped := offset - self._limits.records) > 0:
            self._db.execute('DELETE FROM record WHERE topic = ? AND "offset" <= ?', (log.id, dropped))
        position = Position(log.epoch, offset)
        return Published(position, Record(topic, position, payload, now))

    def history(self, topic: str, after: Position | None, limit: int | None) -> History:
        """Return the records after a position, or the newest."""
        now = self._clock()
        log = self._find_log(topic, now)
        first = self._first_kept(log, now)
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
        """Return the newest position, for a new listener; an idle topic counts as used from now on."""
        now = self._clock()
        log = self._find_log(topic, now)
        if log.time < now - self._life(log.offset) / 2:
            self._db.execute("UPDATE topic SET time = ? WHERE id = ?", (now, log.id))
        return log.position

    def replace(self, topic: str) -> Replaced:
        """Begin a new epoch of a topic; `purge` drops the records of the old one."""
        now = self._clock()
        old = self._find_log(topic, now)
        self._db.execute("DELETE FROM topic WHERE id = ?", (old.id,))
        return Replaced(old.id, self._find_log(topic, now).position)

    def purge(self, topic_id: int) -> bool:
        """Drop some of the records and keys of a topic that was replaced; return whether there may be more."""
        dropped = 0
        for table, column in (("record", '"offset"'), ('"key"', '"key"')):
            dropped += self._db.execute(
                f"DELETE FROM {table} WHERE topic = ? AND {column} IN "
                f"(SELECT {column} FROM {table} WHERE topic = ? ORDER BY {column} LIMIT {SWEEP})",
                (topic_id, topic_id),
            ).rowcount
        return dropped > 0

    def sweep(self, subscribed: frozenset[str] = frozenset()) -> bool:
        """Drop some of what is too old, but no topic that is `subscribed`; return whether there may be more."""
        now = self._clock()
        records = self._sweep_records(now)
        keys = self._db.execute(
            'DELETE FROM "key" WHERE (topic, "key") IN '
            f'(SELECT topic, "key" FROM "key" WHERE time < ? ORDER BY time LIMIT {SWEEP})',
            (now - self._limits.key_seconds,),
        ).rowcount
        self._sweep_topics(now, subscribed)
        return max(records, keys) == SWEEP

    def probe(self) -> None:
        """Write something that changes nothing, to find out whether the disk accepts writes."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        self._db.execute(f"PRAGMA user_version = {version:d}")

    def checkpoint(self) -> None:
        """Move the contents of the write-ahead log to the database; call this outside a transaction."""
        if self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            raise sqlite3.OperationalError("the write-ahead log is busy")

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _sweep_records(self, now: float) -> int:
        """Drop some of the records that are too old, from the beginning of their logs; return how many."""
        rows = self._db.execute(
            'SELECT time, topic, "offset" FROM record WHERE time < ? AND (time, topic, "offset") > (?, ?, ?) '
            f'ORDER BY time, topic, "offset" LIMIT {SWEEP}',
            (now - self._limits.seconds, *self._swept_record),
        ).fetchall()
        dropped = 0
        for topic in dict.fromkeys(row[1] for row in rows):
            dropped += self._db.execute(
                'DELETE FROM record WHERE topic = ? AND "offset" IN (SELECT "offset" FROM record '
                'WHERE topic = ? AND "offset" < ? ORDER BY "offset" LIMIT ?)',
                (topic, topic, self._first_kept_of(topic, now), SWEEP - dropped),
            ).rowcount
        # records that look old only because a clock was behind stay, and must not hide others from the next sweep
        self._swept_record = rows[-1] if rows and not dropped else _BEGINNING
        return dropped

    def _first_kept_of(self, topic_id: int, now: float) -> int:
        """Return the offset of the oldest record to keep; of a dropped topic, keep none."""
        row = self._db.execute('SELECT id, epoch, "offset", time FROM topic WHERE id = ?', (topic_id,)).fetchone()
        return _PAST_ALL if row is None else self._first_kept(Log(*row), now)

    def _sweep_topics(self, now: float, subscribed: frozenset[str]) -> None:
        """Forget some of the topics that nobody has used for longer than anything is kept."""
        rows = self._db.execute(
            f'SELECT id, name, "offset", time FROM topic WHERE id > ? ORDER BY id LIMIT {SWEEP}', (self._swept_topic,)
        ).fetchall()
        self._swept_topic = rows[-1][0] if len(rows) == SWEEP else 0
        for topic_id, name, offset, time in rows:
            life = self._life(offset)
            if name in subscribed and time < now - life / 2:
                self._db.execute("UPDATE topic SET time = ? WHERE id = ?", (now, topic_id))
            elif name not in subscribed and time < now - life:
                self._db.execute("DELETE FROM topic WHERE id = ?", (topic_id,))

    def _life(self, offset: int) -> float:
        """Return the seconds after its last use for which a topic is remembered."""
        life = max(self._limits.seconds, self._limits.key_seconds)
        return life if offset else min(life, self._limits.empty_seconds)

    def _find_log(self, topic: str, now: float) -> Log:
        """Return the row of a topic; insert it if there is none."""
        row = self._db.execute('SELECT id, epoch, "offset", time FROM topic WHERE name = ?', (topic,)).fetchone()
        if row is not None:
            return Log(*row)
        epoch = secrets.token_hex(8)
        made = self._db.execute(
            'INSERT INTO topic (name, epoch, "offset", time) VALUES (?, ?, 0, ?)', (topic, epoch, now)
        )
        assert made.lastrowid is not None
        return Log(made.lastrowid, epoch, 0, now)

    def _offset_of_key(self, log: Log, key: str, now: float) -> int | None:
        """Return the offset of the record that a key was published with, or None if the key isn't remembered."""
        row = self._db.execute(
            'SELECT "offset" FROM "key" WHERE topic = ? AND "key" = ? AND time >= ?',
            (log.id, key, now - self._limits.key_seconds),
        ).fetchone()
        return None if row is None else int(row[0])

    def _first_kept(self, log: Log, now: float) -> int:
        """Return the offset of the oldest record that is within the limits, or the next offset if none is.

        Only the beginning of a log is dropped, up to a record that is too old: a record whose clock was behind doesn't
        take the records before it along. Records from a clock that ran ahead are as old as the first record after them.
        """
        row = self._db.execute('SELECT min("offset") FROM record WHERE topic = ?', (log.id,)).fetchone()
        if row[0] is None:
            return log.offset + 1
        first = int(max(row[0], log.offset + 1 - self._limits.records))
        oldest = now - self._limits.seconds
        while first <= log.offset:
            time = self._time(log, first)
            if time < oldest:
                first = self._bisect(log, first, lambda time: time >= oldest)
            elif time <= now:
                break
            else:
                back = self._bisect(log, first, lambda time: time <= now)
                if back > log.offset or self._time(log, back) >= oldest:
                    break
                first = back + 1
        return first

    def _bisect(self, log: Log, start: int, holds: Callable[[float], bool]) -> int:
        """Return the first offset from `start` on whose time `holds`, or the next offset; times mostly ascend."""
        kept = range(start, log.offset + 1)
        return start + bisect_left(kept, True, key=lambda offset: holds(self._time(log, offset)))

    def _time(self, log: Log, offset: int) -> float:
        row = self._db.execute('SELECT time FROM record WHERE topic = ? AND "offset" = ?', (log.id, offset)).fetchone()
        return float(row[0])
