"""Files that are moved, deleted or made read-only while the broker has them open: no acknowledged record is lost."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from server.broker import UnavailableError
from server.broker.sqlite import broker as local
from server.broker.sqlite.broker import LocalBroker
from server.broker.sqlite.store import Store
from tests.server.broker.recorder import Recorder
from tests.server.broker.sqlite.waiting import payloads, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
async def test_file_that_was_moved_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in a file that nobody can find isn't stored: publishing fails until the file is back."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    async with LocalBroker(path) as broker:
        await broker.publish("t", "a")
        away = path.with_suffix(".away")
        os.rename(path, away)
        with pytest.raises(UnavailableError, match="was moved or deleted; put it back"):
            await broker.publish("t", "b")
        assert "was moved" in broker.health().reason
        os.rename(away, path)
        await until(lambda: broker.health().ready)
        assert (await broker.publish("t", "c")).offset == 2


def _copy_after_kill_9(path: Path) -> Path:
    """Copy the files, as another process would find them if this one were killed now."""
    found = path.parent / "found"
    found.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        (found / file.name).write_bytes(file.read_bytes())
    return found / path.name


async def _stored(path: Path) -> list[str]:
    async with LocalBroker(path) as broker:
        return payloads(await broker.history("t"))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
async def test_write_ahead_log_that_is_lost(path: Path, how: str) -> None:
    """Every record that was acknowledged before or after is there after a kill, and listeners miss nothing."""
    async with LocalBroker(path) as broker, broker.subscribe("t", received := Recorder()):
        log = path.with_name("log.sqlite-wal")
        await broker.publish("t", "a")
        log.unlink() if how == "deleted" else log.rename(path.with_name("away"))
        if how == "replaced":
            log.write_bytes(b"of somebody else")
        assert (await broker.publish("t", "b")).offset == 2
        await received.until(records=2)
        assert broker.health().ready
        assert log.exists()
        assert await _stored(_copy_after_kill_9(path)) == payloads(await broker.history("t")) == ["a", "b"]
    assert await _stored(path) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
async def test_write_ahead_log_that_is_lost_while_idle(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next sweep saves the acknowledged records, without a call."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    async with LocalBroker(path) as broker:
        await broker.publish("t", "a")
        path.with_name("log.sqlite-wal").unlink()
        await until(path.with_name("log.sqlite-wal").exists)
        assert await _stored(_copy_after_kill_9(path)) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
async def test_write_ahead_log_that_is_lost_in_the_middle_of_a_call(path: Path) -> None:
    """A record that was written to a file that has just been deleted is saved before it is acknowledged."""

    def clock() -> float:
        path.with_name("log.sqlite-wal").unlink(missing_ok=True)  # while the transaction is under way
        return time.time()

    async with LocalBroker(path, clock=clock) as broker:
        await broker.publish("t", "a")
        assert await _stored(_copy_after_kill_9(path)) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
async def test_write_ahead_log_that_cannot_be_saved(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the database can't take what the lost file held, publishing fails, and health says why."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)

    def full(store: Store) -> None:
        raise sqlite3.OperationalError("provoked")

    async with LocalBroker(path) as broker, broker.subscribe("t", received := Recorder()):
        await broker.publish("t", "a")
        with monkeypatch.context() as patch:
            patch.setattr(Store, "checkpoint", full)
            path.with_name("log.sqlite-wal").unlink()
            with pytest.raises(UnavailableError, match=r"cannot be written \(provoked\); see to its disk"):
                await broker.publish("t", "b", key="b")
            assert "provoked" in broker.health().reason
        await until(lambda: broker.health().ready)
        assert (await broker.publish("t", "b", key="b")).offset == 2
        await received.until(records=2)
        assert await _stored(_copy_after_kill_9(path)) == ["a", "b"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
async def test_files_that_were_made_read_only(path: Path) -> None:
    """An open file stays writable: what is acknowledged is stored, and a later start that may write finds it."""
    async with LocalBroker(path) as broker:
        await broker.publish("t", "a")
        for file in os.scandir(path.parent):
            os.chmod(file, 0o400)
        os.chmod(path.parent, 0o500)
        try:
            for _ in range(100):
                await broker.publish("t", "b" * 50_000)  # enough for the database to be written as well
            assert broker.health().ready
        finally:
            os.chmod(path.parent, 0o700)
        assert len(await _stored(_copy_after_kill_9(path))) == 101
    os.chmod(path, 0o600)
    assert len(await _stored(path)) == 101


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
async def test_write_ahead_log_that_is_lost_where_none_can_be_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that was made read-only, publishing fails with the reason until it is writable again."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    async with LocalBroker(path) as broker:
        await broker.publish("t", "a")
        path.with_name("log.sqlite-wal").unlink()
        path.parent.chmod(0o500)
        try:
            with pytest.raises(UnavailableError, match="see to its disk and its permissions"):
                await broker.publish("t", "b")
            assert not broker.health().ready
        finally:
            path.parent.chmod(0o700)
        await until(lambda: broker.health().ready)
        assert (await broker.publish("t", "b")).offset == 2
