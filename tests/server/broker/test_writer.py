"""The thread that writes: the loop never waits for the disk, and one failure is not another's."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.broker import Limits, Position, UnavailableError, local, writer
from server.broker.database import open_file
from server.broker.local import LocalBroker
from server.broker.store import Store
from server.broker.writer import Writer
from tests.server.broker.heard import Heard


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


class Disk:
    """A clock that stands for a disk: while it is stalled, whoever asks it on the broker's thread waits."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self._asked = threading.Event()

    def __call__(self) -> float:
        """The time, when the disk answers."""
        self._asked.set()
        assert self._answers.wait(20)
        return time.time()

    @asynccontextmanager
    async def stalled(self, broker: LocalBroker) -> AsyncIterator[asyncio.Task[Position]]:
        """Stall with a first publication that waits; it is the value of the block."""
        self._asked.clear()
        self._answers.clear()
        first = asyncio.create_task(broker.publish("t", "first"))
        try:
            assert await asyncio.to_thread(self._asked.wait, 5)
            yield first
        finally:
            self._answers.set()
            await asyncio.wait([first])


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)


def _payloads(history: Any) -> list[str]:
    return [record.payload for record in history.records]


def test_waiting_publishers_share_a_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred publications that came while the disk was busy are one transaction, in the order of their coming."""
    transactions = 0
    transact = Store.transact

    def count(store: Store, call: Callable[[Store], Any]) -> Any:
        nonlocal transactions
        transactions += 1
        return transact(store, call)

    async def run() -> None:
        disk = Disk()
        async with LocalBroker(path, clock=disk) as broker:
            monkeypatch.setattr(Store, "transact", count)
            async with disk.stalled(broker):
                tasks = [asyncio.create_task(broker.publish("t", f"{number}")) for number in range(100)]
                await asyncio.sleep(0)
            positions = await asyncio.gather(*tasks)
            assert [position.offset for position in positions] == list(range(2, 102))
            assert transactions == 2  # the one that stalled, and theirs

    asyncio.run(run())


def test_one_failure_is_not_another_s(path: Path) -> None:
    """Where one call of a shared transaction fails, it alone fails; the others are stored once."""

    async def run() -> None:
        told: list[int] = []
        one = Writer(path, Limits(), time.time, deadline=5)
        await one.open()
        try:

            def publish(store: Store) -> int:
                return store.publish("t", "x", None).position.offset

            def fail(store: Store) -> int:
                publish(store)
                raise sqlite3.OperationalError("provoked")

            results = await asyncio.gather(
                one.run(publish, told.append),
                one.run(fail, told.append),
                one.run(publish, told.append),
                return_exceptions=True,
            )
            assert (results[0], results[2]) == (1, 2)
            assert isinstance(results[1], UnavailableError)
            assert "cannot be written (provoked)" in str(results[1])
            assert told == [1, 2]
        finally:
            await one.close()

    asyncio.run(run())


def test_stalled_disk_does_not_stop_the_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers get an error at the deadline, health says why, and all is well when the disk answers again."""
    monkeypatch.setattr(local, "DEADLINE", 0.3)
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)

    async def run() -> None:
        disk = Disk()
        async with LocalBroker(path, clock=disk) as broker, broker.subscribe("t", heard := Heard()):
            async with disk.stalled(broker) as first:
                with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
                    await broker.publish("t", "second", key="k")
                assert "did not answer" in broker.health().reason
                with pytest.raises(UnavailableError):
                    await first
            await _until(lambda: broker.health().ready)
            again = await broker.publish("t", "second", key="k")
            assert again.offset == 2
            # the first had begun, so it is stored; the second had not, and is stored once, by its second try
            assert _payloads(await broker.history("t")) == heard.payloads == ["first", "second"]

    asyncio.run(run())


def test_cancelled_before_its_turn_is_not_stored(path: Path) -> None:
    """A publication that is cancelled while it waits is left out; the one that had begun is stored and told."""

    async def run() -> None:
        disk = Disk()
        async with LocalBroker(path, clock=disk) as broker, broker.subscribe("t", heard := Heard()):
            async with disk.stalled(broker) as first:
                waits = asyncio.create_task(broker.publish("t", "waits"))
                await asyncio.sleep(0)
                for task in (first, waits):
                    task.cancel()
                await asyncio.wait([first, waits])
                assert first.cancelled()
                assert waits.cancelled()
            await broker.publish("t", "last")
            assert _payloads(await broker.history("t")) == heard.payloads == ["first", "last"]

    asyncio.run(run())


def test_too_many_waiting_calls_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a stalled disk is bounded; the next one is refused at once."""
    monkeypatch.setattr(writer, "WAITING", 5)

    async def run() -> None:
        disk = Disk()
        async with LocalBroker(path, clock=disk) as broker:
            async with disk.stalled(broker):
                tasks = [asyncio.create_task(broker.publish("t", "x")) for _ in range(5)]
                await asyncio.sleep(0)
                with pytest.raises(UnavailableError, match="5 calls wait for the disk"):
                    await broker.publish("t", "one too many")
            assert len(await asyncio.gather(*tasks)) == 5

    asyncio.run(run())


def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk publishers are told, what is stored can be read, and it goes on when there is room again."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    opened: list[sqlite3.Connection] = []

    def remember(path: Path) -> sqlite3.Connection:
        opened.append(open_file(path))
        return opened[0]

    monkeypatch.setattr(writer, "open_file", remember)

    async def run() -> None:
        async with LocalBroker(path) as broker:
            await broker.publish("t", "x" * 60_000)
            # SQLite's own limit, which it reports as it does a full disk
            opened[0].execute("PRAGMA max_page_count = 40")
            results = await asyncio.gather(
                *[broker.publish("t", "x" * 60_000) for _ in range(10)], return_exceptions=True
            )
            stored = [result.offset for result in results if isinstance(result, Position)]
            assert stored == list(range(2, len(stored) + 2))
            refused = [str(result) for result in results if isinstance(result, UnavailableError)]
            assert len(refused) == 10 - len(stored) > 0
            assert "cannot grow, the disk is full; make room" in refused[0]
            assert not broker.health().ready
            assert "the disk is full" in broker.health().reason
            history = await broker.history("t")
            assert history.position.offset == len(history.records) == 1 + len(stored)
            opened[0].execute("PRAGMA max_page_count = 1000000")
            await _until(lambda: broker.health().ready)
            assert (await broker.publish("t", "x" * 60_000)).offset == 2 + len(stored)

    asyncio.run(run())


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
def test_file_that_was_moved_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody would find again is not called stored: publishing fails until the file is back."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)

    async def run() -> None:
        async with LocalBroker(path) as broker:
            await broker.publish("t", "a")
            away = path.with_suffix(".away")
            os.rename(path, away)
            with pytest.raises(UnavailableError, match="was moved or deleted; put it back"):
                await broker.publish("t", "b")
            assert "was moved" in broker.health().reason
            os.rename(away, path)
            await _until(lambda: broker.health().ready)
            assert (await broker.publish("t", "c")).offset == 2

    asyncio.run(run())


def test_listener_that_raises_badly_costs_nobody_an_answer(path: Path) -> None:
    """Even what is no `Exception`, as a test's own failure, leaves every publisher of the transaction its answer."""

    class Raises(Heard):
        def on_record(self, record: object) -> None:
            raise asyncio.CancelledError

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        async with LocalBroker(path) as broker, broker.subscribe("t", Raises()):
            async with asyncio.timeout(5):
                positions = await asyncio.gather(*[broker.publish("t", "x") for _ in range(20)])
            assert [position.offset for position in positions] == list(range(1, 21))

    asyncio.run(run())


def test_closing_finishes_what_was_asked_for(path: Path) -> None:
    """What waits when the broker closes is stored, its publishers are answered, and the thread is gone."""

    async def run() -> None:
        before = threading.active_count()
        async with LocalBroker(path) as broker:
            assert [thread.name for thread in threading.enumerate() if thread.name.startswith("broker-")]
            tasks = [asyncio.create_task(broker.publish("t", f"{number}")) for number in range(50)]
            await asyncio.sleep(0)
        assert [position.offset for position in await asyncio.gather(*tasks)] == list(range(1, 51))
        assert threading.active_count() == before
        async with broker:
            assert (await broker.history("t")).position.offset == 50

    asyncio.run(run())


def test_thread_ends_when_the_file_cannot_be_opened(tmp_path: Path) -> None:
    """A broker that did not open leaves no thread behind."""

    async def run() -> None:
        with pytest.raises(UnavailableError):
            async with LocalBroker(tmp_path / "nowhere" / "log.sqlite"):
                pass
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("broker-")]

    asyncio.run(run())
