"""A file belongs to one broker; another program's file, or a damaged one, is refused and not changed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from server.broker import BrokerError, UnavailableError
from server.broker.sqlite.broker import LocalBroker
from server.broker.sqlite.files import VERSION, open_file

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


async def _publish(path: Path, number: int = 1, payload: str = "x") -> None:
    async with LocalBroker(path) as broker:
        for _ in range(number):
            await broker.publish("t", payload)


async def _refused(path: Path, error: type[BrokerError], message: str) -> None:
    """Check that opening raises, says why, and changes no byte in the folder."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    with pytest.raises(error, match=message):
        await _publish(path)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before


FOREIGN = {
    "text": b"my thesis, the only copy\n" * 100,
    "short": b"SQLite format 3\x00",
    "one byte": b"\x00",
    "zeros": bytes(8192),
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_foreign_file_is_not_changed(path: Path, kind: str) -> None:
    """A file that isn't SQLite's isn't a log, and is never overwritten."""
    await anyio.Path(path).write_bytes(FOREIGN[kind])
    await _refused(path, BrokerError, "is not the log of a broker; name another file")


async def test_foreign_database_is_not_changed(path: Path) -> None:
    """Another program's SQLite file gets none of our tables, even while that program has it open in WAL mode."""
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE topic (theirs)")
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("INSERT INTO topic VALUES (1)")
        theirs.commit()
        await _refused(path, BrokerError, "is not the log of a broker")


def test_a_commit_waits_for_the_disk(path: Path) -> None:
    """The promise that a power loss takes nothing back rests on these two settings; no test can pull the plug."""
    with closing(open_file(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)


async def test_empty_file_becomes_a_log(path: Path) -> None:
    """An empty file has nothing to lose; `tempfile` makes such files."""
    await anyio.Path(path).touch()
    await _publish(path)
    assert (await anyio.Path(path).stat()).st_size > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9 there")
async def test_killed_while_the_file_was_made(path: Path) -> None:
    """A process that is killed while it creates the tables leaves a file that opens as an empty log."""
    crash = (
        "import os, pathlib, sys; from server.broker.sqlite import files\n"
        "create = files.create_tables\n"
        "def crash(one):\n"
        "    one.execute('PRAGMA cache_spill = 1'); one.execute('PRAGMA cache_size = 1')\n"
        "    create(one); os.kill(os.getpid(), 9)\n"
        "files.create_tables = crash; files.open_file(pathlib.Path(sys.argv[1]))"
    )
    child = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", crash, str(path)], timeout=100, check=False)
    assert child.returncode == -9
    assert path.with_name("log.sqlite-journal").stat().st_size > 0
    await _publish(path)


async def test_another_version_is_refused(path: Path) -> None:
    """An earlier program doesn't touch the tables of a later one."""
    await _publish(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    await _refused(path, BrokerError, f"has tables of version {VERSION + 1}, this program knows version {VERSION}")


async def test_damaged_file_is_refused(path: Path) -> None:
    """A file with a damaged page is refused at the start, not at some later call, and kept for repair."""
    await _publish(path, 200, "x" * 1000)
    damaged = bytearray(await anyio.Path(path).read_bytes())
    damaged[8 * 4096 : 9 * 4096] = os.urandom(4096)
    await anyio.Path(path).write_bytes(damaged)
    await _refused(path, BrokerError, "is damaged")


async def test_truncated_file_is_refused(path: Path) -> None:
    """A file whose end is missing, such as an interrupted copy, is refused."""
    await _publish(path, 200, "x" * 1000)
    whole = await anyio.Path(path).read_bytes()
    await anyio.Path(path).write_bytes(whole[: 10 * 4096])
    await _refused(path, BrokerError, "is damaged")


async def test_missing_folder(tmp_path: Path) -> None:
    """A missing folder is named and not created: a typing error must not move the log."""
    with pytest.raises(UnavailableError, match=r"there is no folder .*nowhere' for the log; make it first"):
        await _publish(tmp_path / "nowhere" / "log.sqlite")
    assert not [file async for file in anyio.Path(tmp_path).iterdir()]


async def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A path that is a folder is refused."""
    with pytest.raises(UnavailableError, match="cannot open"):
        await _publish(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
async def test_readonly_folder(path: Path) -> None:
    """If nothing can be written, the broker doesn't open."""
    path.parent.chmod(0o500)
    with pytest.raises(UnavailableError, match="see to its disk and its permissions"):
        await _publish(path)


async def test_second_broker_is_refused(path: Path) -> None:
    """One file serves one broker: the second is refused with the remedy, and the first goes on."""
    async with LocalBroker(path) as first:
        await first.publish("t", "a")
        with pytest.raises(BrokerError, match=r"is open in another broker.*valkey://HOST"):
            async with LocalBroker(path):
                pass
        assert (await first.publish("t", "b")).offset == 2
    await _publish(path)


async def test_second_process_is_refused(path: Path) -> None:
    """Another process is refused as well; its error says why, and the first broker's data is unchanged."""
    publisher = [sys.executable, "-m", "tests.server.broker.publisher", str(path), "second"]
    async with LocalBroker(path) as first:
        await first.publish("t", "a")
        second = await asyncio.to_thread(subprocess.run, publisher, capture_output=True, text=True, timeout=100)
        assert second.returncode == 1
        assert "is open in another broker" in second.stderr
        assert [record.payload for record in (await first.history("t")).records] == ["a"]
