"""The thread that writes: the loop never waits for the disk, and a failed call doesn't fail the others."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.broker import Limits, LogFullError, Position, UnavailableError
from server.broker.sqlite import broker as local
from server.broker.sqlite import executors
from server.broker.sqlite.broker import LocalBroker
from server.broker.sqlite.executors import FileExecutor
from server.broker.sqlite.files import open_file
from server.broker.sqlite.store import Store
from tests.server.broker.recorder import Recorder
from tests.server.broker.sqlite.waiting import payloads, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


class Disk:
    """A clock that plays the part of a disk: while it is stalled, the broker's thread waits for it."""

    def __init__(self) -> None:
        self._answers = threading.Event()
        self._answers.set()
        self._asked = threading.Event()

    def __call__(self) -> float:
        """Return the time when the disk answers."""
        self._asked.set()
        assert self._answers.wait(20)
        return time.time()

    @asynccontextmanager
    async def stalled(self, broker: LocalBroker) -> AsyncIterator[asyncio.Task[Position]]:
        """Stall while a first publication waits; the block gets its task."""
        self._asked.clear()
        self._answers.clear()
        first = asyncio.create_task(broker.publish("t", "first"))
        try:
            assert await asyncio.to_thread(self._asked.wait, 5)
            yield first
        finally:
            self._answers.set()
            await asyncio.wait([first])


async def test_waiting_publishers_share_a_transaction(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred publications that arrive while the disk is busy are one transaction, in the order of their arrival."""
    transactions = 0
    transact = Store.transact

    def count(store: Store, call: Callable[[Store], Any]) -> Any:
        nonlocal transactions
        transactions += 1
        return transact(store, call)

    disk = Disk()
    async with LocalBroker(path, clock=disk) as broker:
        monkeypatch.setattr(Store, "transact", count)
        async with disk.stalled(broker):
            tasks = [asyncio.create_task(broker.publish("t", f"{number}")) for number in range(100)]
            await asyncio.sleep(0)
        positions = await asyncio.gather(*tasks)
        assert [position.offset for position in positions] == list(range(2, 102))
        assert transactions == 2  # the one that stalled, and theirs


async def test_one_failure_does_not_fail_the_others(path: Path) -> None:
    """If one call of a shared transaction fails, only that one fails; the others are stored once."""
    told: list[int] = []
    one = FileExecutor(path, Limits(), time.time, deadline=5)
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


async def test_stalled_disk_does_not_stop_the_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishers get an error at the deadline, health says why, and both recover when the disk answers again."""
    monkeypatch.setattr(local, "DEADLINE", 0.3)
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    disk = Disk()
    async with LocalBroker(path, clock=disk) as broker, broker.subscribe("t", received := Recorder()):
        async with disk.stalled(broker) as first:
            with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
                await broker.publish("t", "second", key="k")
            assert "did not answer" in broker.health().reason
            with pytest.raises(UnavailableError):
                await first
        await until(lambda: broker.health().ready)
        again = await broker.publish("t", "second", key="k")
        assert again.offset == 2
        # the first had begun, so it is stored; the second had not, and is stored once, by its second try
        assert payloads(await broker.history("t")) == received.payloads == ["first", "second"]


async def test_cancelled_before_its_turn_is_not_stored(path: Path) -> None:
    """A publication that is cancelled while it waits isn't stored; one that had begun is stored and delivered."""
    disk = Disk()
    async with LocalBroker(path, clock=disk) as broker, broker.subscribe("t", received := Recorder()):
        async with disk.stalled(broker) as first:
            waits = asyncio.create_task(broker.publish("t", "waits"))
            await asyncio.sleep(0)
            for task in (first, waits):
                task.cancel()
            await asyncio.wait([first, waits])
            assert first.cancelled()
            assert waits.cancelled()
        await broker.publish("t", "last")
        assert payloads(await broker.history("t")) == received.payloads == ["first", "last"]


async def test_too_many_waiting_calls_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many calls wait for a stalled disk; the next one is refused at once."""
    monkeypatch.setattr(executors, "MAX_WAITING", 5)
    disk = Disk()
    async with LocalBroker(path, clock=disk) as broker:
        async with disk.stalled(broker):
            tasks = [asyncio.create_task(broker.publish("t", "x")) for _ in range(5)]
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="5 calls wait for the disk"):
                await broker.publish("t", "one too many")
        assert len(await asyncio.gather(*tasks)) == 5


async def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk publishers get an error, stored records can be read, and all works again when there is room."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    opened: list[sqlite3.Connection] = []

    def remember(path: Path) -> sqlite3.Connection:
        opened.append(open_file(path))
        return opened[0]

    monkeypatch.setattr(executors, "open_file", remember)

    async with LocalBroker(path) as broker:
        await broker.publish("t", "x" * 60_000)
        # SQLite's own limit, which it reports as it does a full disk
        opened[0].execute("PRAGMA max_page_count = 40")
        results = await asyncio.gather(*[broker.publish("t", "x" * 60_000) for _ in range(10)], return_exceptions=True)
        stored = [result.offset for result in results if isinstance(result, Position)]
        assert stored == list(range(2, len(stored) + 2))
        refused = [str(result) for result in results if isinstance(result, LogFullError)]
        assert len(refused) == 10 - len(stored) > 0
        assert "cannot grow, the disk is full; make room" in refused[0]
        assert not broker.health().ready
        assert "the disk is full" in broker.health().reason
        history = await broker.history("t")
        assert history.position.offset == len(history.records) == 1 + len(stored)
        opened[0].execute("PRAGMA max_page_count = 1000000")
        await until(lambda: broker.health().ready)
        assert (await broker.publish("t", "x" * 60_000)).offset == 2 + len(stored)


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_damage_is_reported_until_the_end(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later failure doesn't hide it, and no probe calls the log healthy again: somebody has to repair the file."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.02)
    sweeps = 0
    sweep = Store.sweep

    def count(store: Store, subscribed: frozenset[str] = frozenset()) -> bool:
        nonlocal sweeps
        sweeps += 1
        return sweep(store, subscribed)

    def fail(code: int) -> None:
        error = sqlite3.DatabaseError("provoked")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(Store, "sweep", count)
    async with LocalBroker(path if kind == "file" else None) as broker:
        for code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL):
            with monkeypatch.context() as patch:
                patch.setattr(Store, "publish", lambda *args, code=code, **kwargs: fail(code))
                with pytest.raises(UnavailableError):
                    await broker.publish("t", "x")
        seen = sweeps
        await until(lambda: sweeps > seen + 3)
        assert "is damaged" in broker.health().reason


async def test_listener_that_raises_a_base_exception(path: Path) -> None:
    """Even then every publisher of the transaction gets its answer."""

    class Raises(Recorder):
        def on_record(self, record: object) -> None:
            raise asyncio.CancelledError

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with LocalBroker(path) as broker, broker.subscribe("t", Raises()):
        async with asyncio.timeout(5):
            positions = await asyncio.gather(*[broker.publish("t", "x") for _ in range(20)])
        assert [position.offset for position in positions] == list(range(1, 21))


async def test_closing_finishes_waiting_calls(path: Path) -> None:
    """Calls that wait when the broker closes are stored and answered, and the thread ends."""
    before = threading.active_count()
    async with LocalBroker(path) as broker:
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("broker-")]
        tasks = [asyncio.create_task(broker.publish("t", f"{number}")) for number in range(50)]
        await asyncio.sleep(0)
    assert [position.offset for position in await asyncio.gather(*tasks)] == list(range(1, 51))
    assert threading.active_count() == before
    async with broker:
        assert (await broker.history("t")).position.offset == 50


async def test_thread_ends_when_the_file_cannot_be_opened(tmp_path: Path) -> None:
    """A broker that couldn't open leaves no thread behind."""
    with pytest.raises(UnavailableError):
        async with LocalBroker(tmp_path / "nowhere" / "log.sqlite"):
            pass
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("broker-")]
