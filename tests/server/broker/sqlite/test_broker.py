"""The local broker: what a file keeps through restarts and ``kill -9``, and what memory does not."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from server.broker import BrokerError, Limits, Position
from server.broker.sqlite import broker as local
from server.broker.sqlite.broker import LocalBroker
from tests.server.broker.machine import Clock, machine
from tests.server.broker.recorder import Recorder

pytestmark = pytest.mark.anyio

KILLS = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a log can be made."""
    return tmp_path / "log.sqlite"


async def _epoch(broker: LocalBroker, topic: str) -> str:
    return (await broker.history(topic, limit=0)).position.epoch


async def test_file_survives_a_restart(path: Path) -> None:
    """A file has the records, the epoch, the next offset and the keys of the last time; its name may be a string."""
    async with LocalBroker(path) as broker:
        first = await broker.publish("t", "a", key="k")
    async with LocalBroker(str(path)) as broker:
        assert await broker.publish("t", "a", key="k") == first
        assert await broker.publish("t", "b") == Position(first.epoch, 2)
        history = await broker.history("t", first)
        assert ([record.payload for record in history.records], history.complete) == (["b"], True)


async def test_memory_begins_anew(path: Path) -> None:
    """A broker in memory that is opened again is empty; clients that resume see this by its new epoch."""
    broker = LocalBroker()
    async with broker:
        old = await broker.publish("t", "a")
    async with broker:
        new = await broker.publish("t", "b")
        assert new.offset == 1
        assert new.epoch != old.epoch
        assert not (await broker.history("t", old)).complete


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_listeners_have_received_when_publish_returns(path: Path, kind: str) -> None:
    """Publisher and listener are in one process: the record has arrived when the position is known."""
    async with (
        LocalBroker(path if kind == "file" else None) as broker,
        broker.subscribe("t", received := Recorder()),
    ):
        for number in range(1, 4):
            await broker.publish("t", "x")
            assert received.offsets[-1] == number


async def test_listeners_are_called_on_the_loop_s_thread(path: Path) -> None:
    """A listener may use the loop's objects, although another thread has written the record."""

    class Where(Recorder):
        def on_record(self, record: object) -> None:
            threads.append(threading.current_thread())

    threads: list[threading.Thread] = []

    async with LocalBroker(path) as broker, broker.subscribe("t", Where()):
        await broker.publish("t", "x")
    assert threads == [threading.main_thread()]


async def test_open_broker_cannot_be_opened_again() -> None:
    """A broker serves one block at a time; a second one inside the first is refused and changes nothing."""
    broker = LocalBroker()
    async with broker:
        with pytest.raises(BrokerError, match="the broker is open"):
            await broker.__aenter__()
        assert (await broker.publish("t", "x")).offset == 1


async def test_lower_limits_hold_at_once(path: Path) -> None:
    """A file that was written with higher limits is read with the new ones before anything is published."""
    async with LocalBroker(path) as broker:
        for number in range(1, 11):
            last = await broker.publish("t", f"{number}")
    async with LocalBroker(path, limits=Limits(records=3)) as broker:
        history = await broker.history("t")
        assert [record.payload for record in history.records] == ["8", "9", "10"]
        assert not (await broker.history("t", Position(last.epoch, 6))).complete
        assert (await broker.history("t", Position(last.epoch, 7))).complete


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_old_topics_are_swept_without_a_call(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any call, old topics are forgotten; one with a listener keeps its epoch."""
    monkeypatch.setattr(local, "SWEEP_SECONDS", 0.01)
    clock = Clock()
    limits = Limits(seconds=100, key_seconds=100)
    async with LocalBroker(path if kind == "file" else None, limits=limits, clock=clock) as broker:
        first = await broker.publish("idle", "x")
        async with broker.subscribe("busy", Recorder()) as position:
            clock.now += 101
            async with asyncio.timeout(5):
                while await _epoch(broker, "idle") == first.epoch:  # noqa: ASYNC110  # no event tells
                    await asyncio.sleep(0.01)
            assert await broker.publish("busy", "x") == Position(position.epoch, 1)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_behaves_like_the_model_when_time_passes(path: Path, kind: str) -> None:
    """In any order of calls, with a clock that goes on and is set back, it answers what a list would."""
    clock = Clock()
    run_state_machine_as_test(
        machine(lambda limits: LocalBroker(path if kind == "file" else None, limits=limits, clock=clock), clock),
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def _killed(path: Path, life: int, lines: int) -> list[str]:
    """Kill a publishing process after so many lines; return the lines that it has printed."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.server.broker.publisher", str(path), str(life)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    watchdog = threading.Timer(20, child.kill)
    watchdog.start()
    try:
        got = [line for _, line in zip(range(lines), child.stdout, strict=False)]
        child.kill()
        got += child.stdout.readlines()
        child.wait()
    finally:
        watchdog.cancel()
        child.stdout.close()
    return [line for line in got if line.endswith("\n")]


async def test_nothing_acknowledged_is_lost_by_kill_9(path: Path) -> None:
    """After each of several kills, every acknowledged record is stored once, at its position, in one epoch."""
    rng = random.Random(9)
    acknowledged: dict[tuple[str, int], str] = {}

    async def stored() -> list[tuple[tuple[str, int], str]]:
        async with LocalBroker(path, limits=Limits(records=1_000_000)) as broker:
            records = (await broker.history("t")).records
            return [((record.position.epoch, record.position.offset), record.payload) for record in records]

    for life in range(KILLS):
        for line in await asyncio.to_thread(_killed, path, life, rng.randrange(1, 400)):
            epoch, offset, payload = line.rstrip("\n").split("\t")
            acknowledged[epoch, int(offset)] = payload
        log = await stored()
        assert acknowledged.items() <= dict(log).items()
        assert [offset for (_, offset), _ in log] == list(range(1, len(log) + 1))
        assert len({epoch for (epoch, _), _ in log}) == 1
        assert len({payload for _, payload in log}) == len(log)
        _assert_ordered([payload for _, payload in log])
    assert len(acknowledged) > KILLS


def _assert_ordered(payloads: list[str]) -> None:
    """Each publisher's numbers are 0, 1, 2, …: none is left out before one that is stored."""
    expected: dict[str, int] = {}
    for payload in payloads:
        name, number = payload.split()
        assert int(number) == expected.get(name, 0)
        expected[name] = int(number) + 1
