"""Opening SQLite for the local broker: in memory, or one file for one process.

A commit is on the disk before it is answered (``synchronous=FULL``, and macOS is asked to empty the drive's cache):
a process that is killed and a machine that loses power both lose nothing that was acknowledged, unless the drive lies.
With less, a power loss could take offsets back that clients have seen, and the same epoch would tell them a lie.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from .protocol import BrokerError, UnavailableError
from .store import SCHEMA

__all__ = ["APPLICATION", "VERSION", "failure", "is_lasting", "open_file", "open_memory"]

APPLICATION = 0x57534C67  # "WSLg": marks a file as ours, in bytes 68 to 71 of SQLite's header
VERSION = 1  # of the tables; a file of another version is refused

_MAGIC = b"SQLite format 3\x00"
_FILE_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA journal_size_limit = 8388608",
)


def open_memory() -> sqlite3.Connection:
    """A log in memory, with a connection that any thread may use, one at a time."""
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _create(database)
    return database


def open_file(path: Path) -> sqlite3.Connection:
    """A log in a file, made where there is none; nobody else can open it until the connection is closed.

    Raises:
        BrokerError: the file is not a broker's, is damaged, is of another version, or is open in another broker.
        UnavailableError: the folder or the file cannot be read and written.
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
            raise failure(error, path) from error
        raise
    return database


def is_lasting(error: BaseException | None) -> bool:
    """Whether an error stays until somebody repairs the file."""
    return isinstance(error, sqlite3.Error) and _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def failure(error: sqlite3.Error, path: Path | None) -> BrokerError:
    """What to tell a caller about an error of SQLite: the reason and the remedy."""
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
            return UnavailableError(f"{where} cannot grow, the disk is full; make room, and it goes on by itself")
        case _:
            return UnavailableError(f"{where} cannot be written ({error}); see to its disk and its permissions")


def _check_header(path: Path) -> None:
    """Look at the first bytes without SQLite, which would touch the file of somebody else."""
    if not path.exists():
        if not path.parent.is_dir():
            raise UnavailableError(f"there is no folder {str(path.parent)!r} for the log; make it first")
        return
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return
    if not header.startswith(_MAGIC) or len(header) < 100 or int.from_bytes(header[68:72], "big") != APPLICATION:
        raise BrokerError(f"{str(path)!r} is not the log of a broker; name another file, this one was left as it is")


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Take the file for this process alone, make the tables where there are none, and check what is there."""
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    if database.execute("PRAGMA page_count").fetchone()[0] == 0:
        # the mark has a transaction of its own: what a killed process leaves of the next one is known to be ours
        database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute("BEGIN EXCLUSIVE")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        _create(database)
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


def _create(database: sqlite3.Connection) -> None:
    for statement in SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {VERSION}")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; some errors of the module itself have none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
