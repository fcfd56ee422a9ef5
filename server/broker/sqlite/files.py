"""Open SQLite for the local broker: in memory, or one file for one process.

A commit is on the disk before it is acknowledged (``synchronous=FULL``, and macOS is asked to empty the drive's
cache). So neither a killed process nor a power loss takes back what was acknowledged, unless the drive lies. With
weaker settings a power loss could give offsets that clients have seen to other records, in the same epoch.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..interface import BrokerError, LogFullError, UnavailableError
from .store import SCHEMA

__all__ = [
    "APPLICATION_ID",
    "VERSION",
    "OpenFiles",
    "broker_error",
    "create_tables",
    "is_permanent",
    "open_file",
    "open_memory",
    "worse",
]

APPLICATION_ID = 0x57534C67  # "WSLg": marks a file as ours, in bytes 68 to 71 of SQLite's header
VERSION = 1  # of the tables; a file of another version is refused

_MAGIC = b"SQLite format 3\x00"
_FILE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA journal_size_limit = 8388608",
)


class OpenFiles:
    """The database and its write-ahead log, as they were when they were opened: SQLite goes on writing to deleted ones.

    The third file that SQLite can have, the index of the write-ahead log (``-shm``), isn't on the disk if one process
    has locked the database.
    """

    def __init__(self, path: Path) -> None:
        """Remember which files are at `path` now; both must exist."""
        self.wal = path.with_name(f"{path.name}-wal")
        self._identities = {file: os.stat(file) for file in (path, self.wal)}

    def is_gone(self, file: Path) -> bool:
        """Return whether one of the two was moved or deleted, or another file has its name."""
        with suppress(OSError):
            return not os.path.samestat(os.stat(file), self._identities[file])
        return True


def open_memory() -> sqlite3.Connection:
    """Return a connection to a new database in memory; any thread may use it, one at a time."""
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    create_tables(database)
    return database


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to the database in a file, which is created if there is none; lock out everybody else.

    Raises:
        BrokerError: the file isn't a broker's, is damaged, has another version, or is open in another broker.
        UnavailableError: the folder or the file can't be read and written.
    """
    try:
        _check_header(path)
    except OSError as error:
        raise UnavailableError(f"cannot open {str(path)!r}: {error.strerror}; name another file") from None
    database: sqlite3.Connection | None = None
    try:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        _prepare(database, path)
    except BaseException as error:
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()
        if isinstance(error, sqlite3.Error):
            raise broker_error(error, path) from error
        raise
    _replace_bad_text(database)
    return database


def is_permanent(error: BaseException | None) -> bool:
    """Return whether an error stays until somebody repairs the file."""
    return isinstance(error, sqlite3.Error) and _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def worse(old: BrokerError | None, new: BrokerError) -> BrokerError:
    """Return which of two failures to report: the newer one, unless the older stays until the file is repaired."""
    return old if old is not None and is_permanent(old.__cause__) else new


def broker_error(error: sqlite3.Error, path: Path | None) -> BrokerError:
    """Return the error to raise for an error of SQLite, with its reason and the remedy."""
    where = "the log in memory" if path is None else f"{str(path)!r}"
    match _code(error):
        case sqlite3.SQLITE_BUSY:
            return BrokerError(
                f"{where} is open in another broker, and a local log serves one process; "
                "end the other one, or use an engine for several: valkey://HOST"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return UnavailableError(f"{where} is damaged ({error}); move it away or restore a copy, then start again")
        case sqlite3.SQLITE_FULL:
            return LogFullError(f"{where} cannot grow, the disk is full; make room, and it goes on by itself")
        case _:
            return UnavailableError(f"{where} cannot be written ({error}); see to its disk and its permissions")


def _check_header(path: Path) -> None:
    """Read the first bytes without SQLite, which would modify another program's file."""
    if not path.exists():
        if not path.parent.is_dir():
            raise UnavailableError(f"there is no folder {str(path.parent)!r} for the log; make it first")
        return
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if not header.startswith(_MAGIC) or len(header) < 100 or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise BrokerError(f"{str(path)!r} is not the log of a broker; name another file, this one was not changed")


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Lock the file for this process, create the tables if there are none, and check what is there."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    if database.execute("PRAGMA page_count").fetchone()[0] == 0:
        # this has a transaction of its own: a file that a killed process left during the next one is known to be ours
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute("BEGIN EXCLUSIVE")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        create_tables(database)
    elif version != VERSION:
        raise BrokerError(
            f"{str(path)!r} has tables of version {version}, this program knows version {VERSION}; "
            "use the program that wrote it, or name another file"
        )
    database.execute("COMMIT")
    for pragma in _FILE_PRAGMAS:
        database.execute(pragma)
    damage = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise BrokerError(f"{str(path)!r} is damaged ({damage}); move it away or restore a copy, then start again")


def _replace_bad_text(database: sqlite3.Connection) -> None:
    """Read bytes that aren't UTF-8 as replacement characters: one such record must not hide the others."""
    database.text_factory = partial(str, encoding="utf-8", errors="replace")


def create_tables(database: sqlite3.Connection) -> None:
    """Create the tables of this version in an empty database."""
    for statement in SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {VERSION}")


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code, or 0: some errors of the sqlite3 module have none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
