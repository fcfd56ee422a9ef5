"""An engine comes back from an older snapshot: listeners get a reset, and no position has two records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from lab.servers.valkey import Engine
from redis.asyncio.connection import AbstractConnection, ConnectionPool

from server.broker import Position
from server.broker.valkey.broker import ValkeyBroker
from server.broker.valkey.scripts import PUBLISH
from tests.server.broker.recorder import Recorder
from tests.server.broker.scenario import broker, until
from tests.server.broker.valkey.loss_machine import loss_machine

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_failed")]


@pytest.fixture
def snapshot_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine for this test alone; it keeps what SAVE writes, and nothing else."""
    monkeypatch.delenv("VALKEY_URL", raising=False)
    if (reason := Engine.missing()) is not None:
        pytest.skip(reason)
    with Engine(enable_debug_command="yes") as engine:
        yield engine


def test_every_order_of_loss_and_publish(snapshot_engine: Engine) -> None:
    """In any order of losses and calls, listeners get every confirmed record, or a reset that says that it is lost."""
    run_state_machine_as_test(
        loss_machine(snapshot_engine),
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def save(engine: Engine) -> None:
    """Let the engine write its snapshot."""
    with redis.from_url(engine.url) as direct:
        direct.save()


def lose(engine: Engine, *published: str) -> None:
    """Go back to the snapshot and end every connection, as a restart does; then a new process publishes."""
    with redis.from_url(engine.url) as direct, direct.pipeline() as together:
        together.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        together.execute_command("CLIENT", "KILL", "TYPE", "normal")
        together.execute_command("DEBUG", "RELOAD", "NOSAVE")
        for payload in published:
            keys = [f"chat:{{t}}:{name}" for name in ("meta", "log", f"key:{payload}")]
            limits = ("suffix", 60_000, 60_000_000)
            arguments = (*limits, "", 0, 0, "chat:{t}:news", payload, 100, 60_000)
            together.eval(PUBLISH.source, len(keys), *keys, *arguments)
        together.execute()


@pytest.mark.parametrize(("lost", "meanwhile"), [(3, 1), (3, 3), (3, 8), (0, 2), (1, 0)])
async def test_publications_that_wait_for_an_older_engine(snapshot_engine: Engine, lost: int, meanwhile: int) -> None:
    """They reach it before a position was compared: each is received once, after the reset."""
    async with broker(snapshot_engine) as one, one.subscribe("t", received := Recorder()):
        first = [await one.publish("t", f"first {number}") for number in range(5)]
        await asyncio.to_thread(save, snapshot_engine)
        for number in range(lost):
            await one.publish("t", f"lost {number}")
        await received.until(records=5 + lost)
        await asyncio.to_thread(snapshot_engine.kill)
        waiting = [asyncio.create_task(one.publish("t", f"new {number}")) for number in range(meanwhile)]
        await asyncio.sleep(0)
        await asyncio.to_thread(snapshot_engine.restart)
        positions = await asyncio.gather(*waiting)
        again = ([f"first {number}" for number in range(5)] if lost else []) + [
            f"new {number}" for number in range(meanwhile)
        ]
        await received.until(records=5 + lost + len(again), resets=int(lost > 0))
        assert received.payloads[5 + lost :] == again
        history = await one.history("t")
        assert (history.position.epoch == first[0].epoch) == (not lost)
        assert positions == [Position(history.position.epoch, 6 + number) for number in range(meanwhile)]
        assert len(received.resets) == (lost > 0)


async def test_record_that_arrives_while_a_publication_connects(
    snapshot_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publication tells the engine what was received while its connection was being made: no position is reused."""
    connected, connecting = asyncio.Event(), asyncio.Event()
    get_connection = ConnectionPool.get_connection

    async def slowly(pool: ConnectionPool) -> AbstractConnection:
        connecting.set()
        await connected.wait()
        return await get_connection(pool)  # type: ignore[no-any-return, no-untyped-call]

    async with (
        ValkeyBroker(snapshot_engine.url, deadline=5.0, check=60.0) as one,
        one.subscribe("t", received := Recorder()),
    ):
        async with broker(snapshot_engine) as other:
            await one.publish("t", "a")
            await asyncio.to_thread(save, snapshot_engine)
            monkeypatch.setattr(ConnectionPool, "get_connection", slowly)
            publication = asyncio.create_task(one.publish("t", "new"))
            await connecting.wait()
            with monkeypatch.context() as patch:
                patch.setattr(ConnectionPool, "get_connection", get_connection)
                lost = await other.publish("t", "lost")
            await received.until(records=2)
        await asyncio.to_thread(lose, snapshot_engine)
        connected.set()
        position = await publication
        assert position.offset == lost.offset
        assert position.epoch != lost.epoch
        await received.until(records=4, resets=1)
        assert received.payloads == ["a", "lost", "a", "new"]


async def test_process_without_listeners_notices_a_loss(snapshot_engine: Engine) -> None:
    """A process that only publishes or reads begins the new epoch, although another one counts on in the old epoch."""
    async with broker(snapshot_engine) as one, broker(snapshot_engine) as other:
        await one.publish("t", "a")
        await asyncio.to_thread(save, snapshot_engine)
        seen = await one.publish("t", "b")
        await asyncio.to_thread(snapshot_engine.restart)
        await other.publish("t", "c")
        await other.publish("t", "d")
        history = await one.history("t", seen)
        assert (history.complete, history.position.epoch == seen.epoch) == (False, False)
        assert [record.payload for record in history.records] == ["a", "c", "d"]


@pytest.mark.parametrize("published", ["c", "cd", "cde"])
async def test_engine_that_counts_on_after_a_loss_is_noticed(snapshot_engine: Engine, published: str) -> None:
    """Before anybody can compare offsets, others have published as much as was lost, or more: the times differ."""
    async with broker(snapshot_engine) as one:
        await one.publish("t", "a")
        await asyncio.to_thread(save, snapshot_engine)
        seen = await one.publish("t", "b")
        await asyncio.to_thread(lose, snapshot_engine, *published)
        history = await one.history("t", seen)
        assert (history.complete, history.position.epoch == seen.epoch) == (False, False)
        assert [record.payload for record in history.records] == ["a", *published]
        assert (await one.publish("t", "new")).epoch == history.position.epoch


async def test_loss_in_an_unused_topic_is_noticed(snapshot_engine: Engine) -> None:
    """On a new connection a process tells the engine what it has seen, without any call."""
    async with broker(snapshot_engine) as one:
        await one.publish("t", "a")
        await asyncio.to_thread(save, snapshot_engine)
        seen = await one.publish("t", "b")
        await asyncio.to_thread(snapshot_engine.restart)
        with redis.from_url(snapshot_engine.url, decode_responses=True) as direct:
            await until(lambda: direct.hget("chat:{t}:meta", "epoch") not in (None, seen.epoch))


async def test_key_is_known_after_a_loss(snapshot_engine: Engine) -> None:
    """A record in the snapshot keeps its key in the new epoch: it isn't stored a second time."""
    async with broker(snapshot_engine) as one:
        await one.publish("t", "a", key="a")
        await asyncio.to_thread(save, snapshot_engine)
        await one.publish("t", "b", key="b")
        await asyncio.to_thread(snapshot_engine.restart)
        assert (await one.publish("t", "a", key="a")).offset == 1
        assert (await one.publish("t", "b", key="b")).offset == 2
        assert [record.payload for record in (await one.history("t")).records] == ["a", "b"]
