"""A file belongs to one broker; a file of somebody else, or a damaged one, is refused and left as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from server.broker import BrokerError, UnavailableError
from server.broker.database import VERSION, open_file
from server.broker.local import LocalBroker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


async def _publish(path: Path, number: int = 1, payload: str = "x") -> None:
    async with LocalBroker(path) as broker:
        for _ in range(number):
            await broker.publish("t", payload)


def _refused(path: Path, error: type[BrokerError], message: str) -> None:
    """Opening raises, says why, and changes no byte of the folder."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(error, match=message):
        asyncio.run(_publish(path))
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before


FOREIGN = {
    "text": b"my thesis, the only copy\n" * 100,
    "short": b"SQLite format 3\x00",
    "one byte": b"\x00",
    "zeros": bytes(8192),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file_is_left_as_it_is(path: Path, kind: str) -> None:
    """A file that is no SQLite file is not a log, and never overwritten."""
    path.write_bytes(FOREIGN[kind])
    _refused(path, BrokerError, "is not the log of a broker; name another file")


def test_foreign_database_is_left_as_it_is(path: Path) -> None:
    """Another program's SQLite file gets no tables of ours, also while that program has it open in WAL mode."""
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE topic (theirs)")
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("INSERT INTO topic VALUES (1)")
        theirs.commit()
        _refused(path, BrokerError, "is not the log of a broker")


def test_a_commit_waits_for_the_disk(path: Path) -> None:
    """The promise that a power loss takes nothing back rests on these two settings; no test can pull the plug."""
    with closing(open_file(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_empty_file_becomes_a_log(path: Path) -> None:
    """An empty file holds nothing that could be lost; `tempfile` makes such ones."""
    path.touch()
    asyncio.run(_publish(path))
    assert path.stat().st_size > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 there")
def test_killed_while_the_file_was_made(path: Path) -> None:
    """A process that was killed in the middle of making the tables leaves something that opens as an empty log."""
    crash = (
        "import os, pathlib, sys; from server.broker import database\n"
        "create = database._create\n"
        "def crash(one):\n"
        "    one.execute('PRAGMA cache_spill = 1'); one.execute('PRAGMA cache_size = 1')\n"
        "    create(one); os.kill(os.getpid(), 9)\n"
        "database._create = crash; database.open_file(pathlib.Path(sys.argv[1]))"
    )
    child = subprocess.run([sys.executable, "-c", crash, str(path)], timeout=20, check=False)
    assert child.returncode == -9
    assert path.with_name("log.sqlite-journal").stat().st_size > 0
    asyncio.run(_publish(path))


def test_another_version_is_refused(path: Path) -> None:
    """Tables of a later program are not touched by an earlier one."""
    asyncio.run(_publish(path))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    _refused(path, BrokerError, f"has tables of version {VERSION + 1}, this program knows version {VERSION}")


def test_damaged_file_is_refused(path: Path) -> None:
    """A file with a page of rubbish in it is refused at the start, not at some later call, and kept for repair."""
    asyncio.run(_publish(path, 200, "x" * 1000))
    damaged = bytearray(path.read_bytes())
    damaged[8 * 4096 : 9 * 4096] = os.urandom(4096)
    path.write_bytes(damaged)
    _refused(path, BrokerError, "is damaged")


def test_truncated_file_is_refused(path: Path) -> None:
    """A file that lost its end, as a copy that broke off, is refused."""
    asyncio.run(_publish(path, 200, "x" * 1000))
    path.write_bytes(path.read_bytes()[: 10 * 4096])
    _refused(path, BrokerError, "is damaged")


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is named, and not made: a typing error must not move the log."""
    with pytest.raises(UnavailableError, match=r"there is no folder .*nowhere' for the log; make it first"):
        asyncio.run(_publish(tmp_path / "nowhere" / "log.sqlite"))
    assert list(tmp_path.iterdir()) == []


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A path that is a folder is refused."""
    with pytest.raises(UnavailableError, match="cannot open"):
        asyncio.run(_publish(tmp_path))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_readonly_folder(path: Path) -> None:
    """Where nothing can be written the broker does not open."""
    path.parent.chmod(0o500)
    with pytest.raises(UnavailableError, match="see to its disk and its permissions"):
        asyncio.run(_publish(path))


def test_second_broker_is_refused(path: Path) -> None:
    """One file serves one broker: the second is refused with the remedy, and the first goes on."""

    async def run() -> None:
        async with LocalBroker(path) as first:
            await first.publish("t", "a")
            with pytest.raises(BrokerError, match=r"is open in another broker.*valkey://HOST"):
                async with LocalBroker(path):
                    pass
            assert (await first.publish("t", "b")).offset == 2
        await _publish(path)

    asyncio.run(run())


def test_second_process_is_refused(path: Path) -> None:
    """So is another process; its error says why, and what the first has is untouched."""
    publisher = [sys.executable, "-m", "tests.server.broker.publisher", str(path), "second"]

    async def run() -> None:
        async with LocalBroker(path) as first:
            await first.publish("t", "a")
            second = await asyncio.to_thread(subprocess.run, publisher, capture_output=True, text=True, timeout=20)
            assert second.returncode == 1
            assert "is open in another broker" in second.stderr
            assert [record.payload for record in (await first.history("t")).records] == ["a"]

    asyncio.run(run())
